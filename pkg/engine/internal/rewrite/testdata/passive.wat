(module
  (memory (export "memory") 1)
  (data (i32.const 0) "active")
  (data $p "passive")
  (func (export "run") (memory.init $p (i32.const 8) (i32.const 0) (i32.const 7))))
