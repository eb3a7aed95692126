;; Each level calls the other function twice, so the stack stays shallow but the run does not end.
(module
  (func $even (param i32)
    (if (local.get 0) (then
      (call $odd (i32.sub (local.get 0) (i32.const 1)))
      (call $odd (i32.sub (local.get 0) (i32.const 1))))))
  (func $odd (param i32)
    (if (local.get 0) (then
      (call $even (i32.sub (local.get 0) (i32.const 1)))
      (call $even (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "run") (call $even (i32.const 100))))
