;; A guest that asks for its environment, and imports a function twice.
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $again (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "count") (param $at i32) (result i32)
    (i64.store (i32.const 8) (i64.const -1))
    (drop (call $sizes (i32.const 8) (i32.const 12)))
    (i32.load (local.get $at)))
  (func (export "sizes") (param $count i32) (param $size i32) (result i32)
    (call $again (local.get $count) (local.get $size)))
  (func (export "get") (result i32) (call $get (i32.const 0) (i32.const 0))))
