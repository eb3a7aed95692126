;; A program that works for a while and reads a letter in deeply nested calls. It prints what it
;; found, and what it drew before and after. It leaves traces wherever it can, and ends as the
;; next letter says. Its first argument says what else it does before it reads.
(module
  (import "host" "ask" (func $ask))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (global $i (mut i32) (i32.const 0))
  (global $j (mut i64) (i64.const 0))
  (global $f (mut f64) (f64.const 0))
  (data (i32.const 16) "\20\00\00\00\01\00\00\00") ;; iovec of the letter at 32
  (data (i32.const 24) "\80\00\00\00\18\00\00\00") ;; iovec of the 24 printed bytes at 128
  (data (i32.const 40) "\80\00\00\00\01\00\00\00") ;; iovec of one of them

  (func $letter (result i32)
    (i32.store (i32.const 32) (i32.const 0))
    (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)))
    (i32.load8_u (i32.const 32)))

  ;; reads at the bottom, and on its way back checks what it kept on its way down
  (func $deep (param $n i32) (result i32)
    (local $kept i32) (local $long i64) (local $result i32)
    (local.set $kept (i32.mul (local.get $n) (i32.const 3)))
    (local.set $long (i64.extend_i32_u (i32.mul (local.get $n) (i32.const 5))))
    (local.set $result (if (result i32) (local.get $n)
      (then (call $deep (i32.sub (local.get $n) (i32.const 1))))
      (else (call $letter))))
    (if (i32.ne (local.get $kept) (i32.mul (local.get $n) (i32.const 3))) (then (unreachable)))
    (if (i64.ne (local.get $long) (i64.extend_i32_u (i32.mul (local.get $n) (i32.const 5)))) (then (unreachable)))
    (local.set $kept (i32.const 77))
    (local.set $long (i64.const 77))
    (i32.add (local.get $result) (i32.sub (local.get $kept) (i32.wrap_i64 (local.get $long)))))

  (func $recurse (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (i32.const 1) (call $recurse (i32.sub (local.get $n) (i32.const 1)))))
      (else (i32.const 0))))

  (func (export "_start")
    (local $n i32) (local $first i32) (local $mode i32)
    (drop (call $args_get (i32.const 1024) (i32.const 2048)))
    (local.set $mode (i32.load8_u (i32.load (i32.const 1028))))
    (if (i32.eq (local.get $mode) (i32.const 112)) ;; p: prints
      (then (drop (call $fd_write (i32.const 1) (i32.const 40) (i32.const 1) (i32.const 8)))))
    (if (i32.eq (local.get $mode) (i32.const 120)) (then (call $ask))) ;; x: asks the host
    (if (i32.eq (local.get $mode) (i32.const 101)) (then (call $proc_exit (i32.const 3)))) ;; e: exits
    (if (i32.eq (local.get $mode) (i32.const 115)) (then (loop $forever (br $forever)))) ;; s: spins
    (local.set $n (i32.const 20000))
    (loop $work (br_if $work (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (drop (call $random_get (i32.const 136) (i32.const 8)))
    (local.set $first (i32.add (local.get $first) (i32.const 1)))
    (if (i32.eq (local.get $mode) (i32.const 110)) ;; n: reads nothing
      (then (drop (call $fd_write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 8))) (return)))
    (i32.store8 (i32.const 128) (call $deep (i32.const 100)))
    ;; what an earlier run left
    (i32.store8 (i32.const 129) (i32.add
      (i32.add (i32.ne (global.get $i) (i32.const 0)) (i64.ne (global.get $j) (i64.const 0)))
      (i32.add (f64.ne (global.get $f) (f64.const 0))
        (i32.add (i32.ne (i32.load (i32.const 512)) (i32.const 0)) (i32.ne (i32.load (i32.const 200000)) (i32.const 0))))))
    (i32.store8 (i32.const 130) (local.get $first))
    (i32.store8 (i32.const 131) (memory.size))
    (drop (call $random_get (i32.const 144) (i32.const 8)))
    (drop (call $fd_write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 8)))
    (local.set $first (i32.const 99))
    (global.set $i (i32.const 1)) (global.set $j (i64.const 1)) (global.set $f (f64.const 1))
    (i32.store (i32.const 512) (i32.const 1)) (i32.store (i32.const 200000) (i32.const 1))
    (drop (memory.grow (i32.const 2)))
    (i32.store (i32.const 300000) (i32.const 1))
    (drop (call $recurse (i32.const 1000)))
    (local.set $n (call $letter))
    (if (i32.eq (local.get $n) (i32.const 120)) (then (call $proc_exit (i32.const 1))))    ;; x
    (if (i32.eq (local.get $n) (i32.const 122)) (then (call $proc_exit (i32.const 0))))    ;; z
    (if (i32.eq (local.get $n) (i32.const 116)) (then (unreachable)))                      ;; t
    (if (i32.eq (local.get $n) (i32.const 115)) (then (loop $forever (br $forever))))      ;; s
    (if (i32.eq (local.get $n) (i32.const 111)) (then (drop (call $recurse (i32.const -1))))))) ;; o
