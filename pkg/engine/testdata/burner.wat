;; A guest that burns a tenth of its fuel in one function and the rest in another (wat2wasm --debug-names). The third
;; function has no name.
(module
  (func $spin (param $n i32)
    (loop $again
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n))))
  (func $light (call $spin (i32.const 10000)))
  (func $heavy (call $spin (i32.const 90000)))
  (func (call $light) (call $heavy))
  (export "run" (func 3)))
