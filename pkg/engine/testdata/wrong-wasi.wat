;; A guest that imports a WASI function with the wrong type, after one with the right type.
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func (param i32) (result i32))))
