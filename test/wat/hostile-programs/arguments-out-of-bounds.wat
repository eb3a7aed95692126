;; Asks for its arguments outside its memory, and over its output.
(module
  (import "host" "call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "\00\10\00\00\00\10\00\00") ;; iovec: 4096, 4096
  (data (i32.const 24) "\80\00\00\00\1e\00\00\00") ;; iovec: 128, 30
  (data (i32.const 128) "{\"valid\":true,\"accepted\":true}")
  (func $attack
    (drop (call $args_get (i32.const -4) (i32.const -4)))
    (drop (call $args_get (i32.const 262140) (i32.const 262140))))
  ;; reads its input, attacks if the input is long, and accepts
  (func $run
    (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)))
    (if (i32.gt_u (i32.load (i32.const 8)) (i32.const 100)) (then (call $attack)))
    (drop (call $fd_write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 8))))
  (func (export "_start") (call $run)))
