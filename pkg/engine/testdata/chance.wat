;; A guest that draws randomness and reads the clock when it starts and when it
;; is asked to.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $draw (export "draw") (result i64)
    (drop (call $random_get (i32.const 0) (i32.const 8)))
    (i64.load (i32.const 0)))
  (func $time (export "time") (param $clock i32) (result i64)
    (drop (call $clock_time_get (local.get $clock) (i64.const 0) (i32.const 8)))
    (i64.load (i32.const 8)))
  ;; Returns when the clock's time changes.
  (func (export "until_it_moves") (param $clock i32) (result i64)
    (local $first i64) (local $now i64)
    (local.set $first (call $time (local.get $clock)))
    (loop $again
      (br_if $again (i64.eq (local.tee $now (call $time (local.get $clock))) (local.get $first))))
    (i64.sub (local.get $now) (local.get $first)))
  (func (export "_start")
    (i64.store (i32.const 16) (call $draw))
    (i64.store (i32.const 24) (call $time (i32.const 0))))
  (func (export "drawn_at_start") (result i64) (i64.load (i32.const 16)))
  (func (export "time_at_start") (result i64) (i64.load (i32.const 24)))
  ;; Loops as many times as the number drawn at the start.
  (func (export "spend") (result i32)
    (local $turns i32)
    (local.set $turns (i32.add (i32.const 1) (i32.load16_u (i32.const 16))))
    (loop $next
      (br_if $next (local.tee $turns (i32.sub (local.get $turns) (i32.const 1)))))
    (i32.const 0)))
