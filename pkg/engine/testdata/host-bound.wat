;; A guest that burns little fuel and makes the host do much work.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "host" "signal" (func $signal))
  (import "host" "nothing" (func $nothing))
  (memory (export "memory") 2)
  (func (export "call")
    (local $turns i32)
    (call $signal)
    (loop $next
      (call $nothing)
      (br_if $next (i32.lt_u (local.tee $turns (i32.add (local.get $turns) (i32.const 1))) (i32.const 100)))))
  (func (export "draw")
    (local $turns i32)
    (call $signal)
    (loop $next
      (drop (call $random_get (i32.const 0) (i32.const 65536)))
      (br_if $next (i32.lt_u (local.tee $turns (i32.add (local.get $turns) (i32.const 1))) (i32.const 100)))))
  (func (export "look")
    (local $turns i32)
    (call $signal)
    (loop $next
      (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 0)))
      (br_if $next (i32.lt_u (local.tee $turns (i32.add (local.get $turns) (i32.const 1))) (i32.const 100)))))
  ;; One call that writes the same page a hundred times.
  (func (export "print")
    (local $at i32)
    (loop $next
      (i32.store (local.get $at) (i32.const 65536))
      (i32.store offset=4 (local.get $at) (i32.const 65536))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 800))))
    (call $signal)
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 100) (i32.const 1024))))
  ;; One call that draws 64 MiB.
  (func (export "draw_much")
    (drop (memory.grow (i32.const 1024)))
    (drop (call $random_get (i32.const 0) (i32.const 67108864))))
  ;; Sleeps for an hour. An all-zero subscription is to a clock.
  (func (export "sleep")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3600000000000))
    (call $signal)
    (drop (call $poll_oneoff (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 2048)))))
