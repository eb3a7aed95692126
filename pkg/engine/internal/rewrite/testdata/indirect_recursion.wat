(module
  (type $t (func (param i32)))
  (table 2 funcref)
  (elem (i32.const 1) $f)
  (func $f (type $t)
    (if (local.get 0) (then
      (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1))
      (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))))
  (func (export "run") (call_indirect (type $t) (i32.const 100) (i32.const 1))))
