;; Bulk operations on memory with the caller's operands. The test replaces the segment with a longer one.
(module
  (memory (export "memory") 64)
  (data $short "short")
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i32 i32 i32) (memory.init $short (local.get 0) (local.get 1) (local.get 2))))
