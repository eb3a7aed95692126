;; A guest that drops a data segment, which the host cannot restore.
(module
  (memory (export "memory") 1)
  (data $segment "\01")
  ;; 1 in a pristine instance; traps if the segment was dropped.
  (func (export "pristine") (result i32)
    (memory.init $segment (i32.const 0) (i32.const 0) (i32.const 1))
    (i32.load (i32.const 0)))
  (func (export "mark") (data.drop $segment))
  (func (export "succeed"))
  (func (export "trap") unreachable)
  (func (export "exit") unreachable))
