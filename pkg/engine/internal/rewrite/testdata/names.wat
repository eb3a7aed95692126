(module $named
  (import "env" "host" (func $host_function))
  (type $t (func))
  (table 4 funcref)
  (elem (i32.const 0) $host_function $inner)
  (global $ref funcref (ref.func $inner))
  (func $inner (local $x i32) (call $host_function) unreachable)
  (func $outer (param $p i32) (call_indirect (type $t) (i32.const 1)))
  (export "run" (func $outer)))
