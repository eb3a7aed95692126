;; A guest that does most of its work once, in the first call of any kind. It then
;; asks for outside information, or fails.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "host" "ask" (func $ask))
  (memory (export "memory") 1)
  (global $done (mut i32) (i32.const 0))
  (global $calls (mut i32) (i32.const 0))
  (func $work (param $turns i32)
    (loop $next
      (br_if $next (local.tee $turns (i32.sub (local.get $turns) (i32.const 1))))))
  (func $lazy (export "lazy") (result i32)
    (if (i32.eqz (global.get $done)) (then
      (global.set $done (i32.const 1))
      (call $work (i32.const 10000))))
    (i32.const 0))
  (func (export "asks") (result i32) (call $ask) (call $lazy))
  (func (export "traps") (result i32) (drop (call $lazy)) unreachable)
  (func (export "fails") (result i32) (drop (call $lazy)) (i32.const 1))
  (func (export "draws") (result i32)
    (drop (call $random_get (i32.const 0) (i32.const 8)))
    (call $lazy))
  (func (export "looks") (result i32)
    (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 0)))
    (call $lazy))
;; Reads the monotonic clock until it has advanced.
  (func $time (result i64)
    (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 8)))
    (i64.load (i32.const 8)))
  (func (export "waits") (result i32)
    (local $until i64)
    (local.set $until (i64.add (call $time) (i64.const 100000)))
    (loop $again (br_if $again (i64.lt_s (call $time) (local.get $until))))
    (call $lazy))
  ;; Sleeps for ten minutes, repeatedly until they are over.
  (func (export "sleeps") (result i32)
    (local $until i64)
    (local.set $until (i64.add (call $time) (i64.const 600000000000)))
    (i32.store8 (i32.const 72) (i32.const 0))
    (i64.store (i32.const 88) (i64.const 600000000000))
    (i64.store (i32.const 104) (i64.const 0))
    (loop $again
      (drop (call $poll_oneoff (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8)))
      (br_if $again (i64.lt_s (call $time) (local.get $until))))
    (call $lazy))
  ;; Returns the time of the monotonic clock.
  (func (export "time") (result i64) (call $time))
  ;; Costs more with every call.
  (func (export "tires") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 10000)))
    (call $work (global.get $calls))
    (i32.const 0)))
