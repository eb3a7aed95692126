;; Calls poll_oneoff for the host. The host writes the subscriptions to address 0, and reads the
;; events at 1024 and their number at 4096.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "poll") (param $count i32) (result i32)
    (call $poll_oneoff (i32.const 0) (i32.const 1024) (local.get $count) (i32.const 4096))))
