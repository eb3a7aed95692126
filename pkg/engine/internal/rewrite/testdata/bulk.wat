;; Bulk operations on memory with the operands of the caller. The test puts a longer segment in the place of this one.
(module
  (memory (export "memory") 64)
  (data $short "short")
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i32 i32 i32) (memory.init $short (local.get 0) (local.get 1) (local.get 2))))
