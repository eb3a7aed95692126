;; A guest whose functions have names, in the name section (wat2wasm --debug-names).
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\2a")
  (func $inner (param $x i32) (if (i32.eqz (local.get $x)) (then unreachable)))
  (func $outer (export "boom") (call $inner (i32.const 0)))
  (func (export "answer") (result i32) (call $inner (i32.const 1)) (i32.load (i32.const 8))))
