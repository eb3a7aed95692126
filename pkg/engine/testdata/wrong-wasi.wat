;; A guest that imports a function of WASI with another type than it has, after one that is as it should be.
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func (param i32) (result i32))))
