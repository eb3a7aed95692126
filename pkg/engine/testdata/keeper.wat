;; A guest that leaves a mark wherever a guest can keep one, looks for marks, and
;; ends in every way in which an evaluation can end.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "host" "refuse" (func $refuse))
  (import "host" "signal" (func $signal))
  (memory (export "memory") 4)
  (global $i32 (mut i32) (i32.const 1))
  (global $i64 (mut i64) (i64.const 2))
  (global $f32 (mut f32) (f32.const 3))
  (global $f64 (mut f64) (f64.const 4))
  (data (i32.const 131072) "\05")

  ;; Writes the nonzero mark to the first, the third, and the fourth page, to a
  ;; grown page, and to all globals.
  (func (export "mark") (param $mark i32)
    (i32.store (i32.const 0) (local.get $mark))
    (i32.store (i32.const 131072) (local.get $mark))
    (i32.store (i32.const 262140) (local.get $mark))
    (drop (memory.grow (i32.const 2)))
    (i32.store (i32.const 262144) (local.get $mark))
    (i32.store (i32.const 393212) (local.get $mark))
    (global.set $i32 (local.get $mark))
    (global.set $i64 (i64.extend_i32_u (local.get $mark)))
    (global.set $f32 (f32.convert_i32_u (local.get $mark)))
    (global.set $f64 (f64.convert_i32_u (local.get $mark))))

  ;; Counts the places that hold the mark.
  (func (export "marked") (param $mark i32) (result i32)
    (i32.eq (i32.load (i32.const 0)) (local.get $mark))
    (i32.add (i32.eq (i32.load (i32.const 131072)) (local.get $mark)))
    (i32.add (i32.eq (i32.load (i32.const 262140)) (local.get $mark)))
    (i32.add (i32.eq (i32.load (i32.const 262144)) (local.get $mark)))
    (i32.add (i32.eq (i32.load (i32.const 393212)) (local.get $mark)))
    (i32.add (i32.eq (global.get $i32) (local.get $mark)))
    (i32.add (i64.eq (global.get $i64) (i64.extend_i32_u (local.get $mark))))
    (i32.add (f32.eq (global.get $f32) (f32.convert_i32_u (local.get $mark))))
    (i32.add (f64.eq (global.get $f64) (f64.convert_i32_u (local.get $mark)))))

  ;; Zero in a pristine instance, otherwise a bit for each item that has changed:
  ;; four globals, the size, the data, and any other word of the memory, including
  ;; grown memory.
  (func (export "traces") (result i32)
    (local $at i32) (local $seen v128)
    (i32.ne (global.get $i32) (i32.const 1))
    (i32.or (i32.shl (i64.ne (global.get $i64) (i64.const 2)) (i32.const 1)))
    (i32.or (i32.shl (f32.ne (global.get $f32) (f32.const 3)) (i32.const 2)))
    (i32.or (i32.shl (f64.ne (global.get $f64) (f64.const 4)) (i32.const 3)))
    (i32.or (i32.shl (i32.ne (memory.size) (i32.const 4)) (i32.const 4)))
    (i32.or (i32.shl (i64.ne (i64.load (i32.const 131072)) (i64.const 5)) (i32.const 5)))
    (i64.store (i32.const 131072) (i64.const 0))
    (drop (memory.grow (i32.const 2)))
    (loop $next
      (local.set $seen (v128.or (local.get $seen) (v128.load (local.get $at))))
      (local.set $seen (v128.or (local.get $seen) (v128.load offset=16 (local.get $at))))
      (local.set $seen (v128.or (local.get $seen) (v128.load offset=32 (local.get $at))))
      (local.set $seen (v128.or (local.get $seen) (v128.load offset=48 (local.get $at))))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 64)))
        (i32.shl (memory.size) (i32.const 16)))))
    (i32.or (i32.shl (v128.any_true (local.get $seen)) (i32.const 6))))

  ;; The ways to end.
  (func (export "succeed"))
  (func (export "trap") unreachable)
  (func $recurse (export "recurse") (result i32) (i32.add (call $recurse) (i32.const 1)))
  (func (export "spin") (call $signal) (loop (br 0)))
  (func (export "refused") (call $refuse))
  (func (export "exit") (call $proc_exit (i32.const 3)))
  (func (export "exit_zero") (call $proc_exit (i32.const 0)))
  ;; Grows to the limit, marks every page, and gives up on request.
  (func (export "grow") (param $give_up i32)
    (local $at i32)
    (loop $more
      (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (loop $next
      (i32.store (local.get $at) (i32.const -1))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 65536)))
        (i32.shl (memory.size) (i32.const 16)))))
    (if (local.get $give_up) (then unreachable))))
