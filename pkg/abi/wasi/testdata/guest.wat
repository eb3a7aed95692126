;; A WASI command whose standard input begins with a letter: each does one thing that
;; a guest may do to its host. It keeps a counter in a global and one in memory,
;; which must be zero at the start of each run.
(module
  (import "host" "call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "kubewarden:javy/host" "call" (func $javy_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (global $runs (mut i32) (i32.const 0))
  ;; 0: iovec; 8: bytes read or written; 16: iovec of one byte; 64: arguments; 512: counter in memory
  (data (i32.const 16) "\20\00\00\00\01\00\00\00") ;; 32, 1
  (data (i32.const 1024) "kubewarden")
  (data (i32.const 1040) "tracing")
  (data (i32.const 1056) "log")
  (data (i32.const 1072) "\ff\fe")
  (data (i32.const 1088) "the text\0a")
  (data (i32.const 1104) "hello")

  (func $write (param $fd i32) (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))

  ;; prints a number from 0 to 99
  (func $print_number (param $n i32)
    (i32.store8 (i32.const 40) (i32.add (i32.const 48) (i32.div_u (local.get $n) (i32.const 10))))
    (i32.store8 (i32.const 41) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
    (call $write (i32.const 1) (i32.const 40) (i32.const 2)))

  ;; copies standard input to standard output until it ends
  (func $copy
    (loop $more
      (i32.store (i32.const 0) (i32.const 4096))
      (i32.store (i32.const 4) (i32.const 7))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.load (i32.const 8))
        (then (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 8))) (br $more)))))

  (func $call_host (result i32)
    (call $host_call (i32.const 1024) (i32.const 10) (i32.const 1040) (i32.const 7)
      (i32.const 1056) (i32.const 3) (i32.const 1104) (i32.const 5)))

  (func (export "_start")
    (drop (call $args_sizes_get (i32.const 56) (i32.const 60)))
    (drop (call $args_get (i32.const 64) (i32.const 128)))
    (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)))
    (block $t (block $s (block $r (block $q (block $p (block $o (block $n (block $m (block $l (block $k
    (block $j (block $i (block $h (block $g (block $f (block $e (block $d (block $c (block $b (block $a
      (br_table $a $b $c $d $e $f $g $h $i $j $k $l $m $n $o $p $q $r $s $t
        (i32.sub (i32.load8_u (i32.const 32)) (i32.const 97))))
    ;; a: answers with the rest of its input
    (call $copy) (return))
    ;; b: reports an error
    (call $write (i32.const 1) (i32.const 1104) (i32.const 5))
    (call $write (i32.const 2) (i32.const 1088) (i32.const 9)) (call $proc_exit (i32.const 1)))
    ;; c: fails without a word
    (call $proc_exit (i32.const 3)))
    ;; d: answers, warns, and exits with success
    (call $write (i32.const 1) (i32.const 1104) (i32.const 5))
    (call $write (i32.const 2) (i32.const 1088) (i32.const 9))
    (call $write (i32.const 2) (i32.const 1104) (i32.const 5))
    (call $proc_exit (i32.const 0)))
    ;; e: copies its input, calls the host, prints what it returns and copies the answer
    (call $copy) (call $print_number (call $call_host)) (call $copy)
    (call $print_number (call $call_host)) (call $copy) (return))
    ;; f: calls the host by the name that Javy has for it
    (call $print_number (call $javy_call (i32.const 1024) (i32.const 10) (i32.const 1040) (i32.const 7)
      (i32.const 1056) (i32.const 3) (i32.const 1104) (i32.const 5)))
    (call $copy) (return))
    ;; g: calls the host with a payload from outside its memory
    (drop (call $host_call (i32.const 1024) (i32.const 10) (i32.const 1040) (i32.const 7)
      (i32.const 1056) (i32.const 3) (i32.const 262140) (i32.const 5))) (return))
    ;; h: calls the host by a name that is not UTF-8
    (drop (call $host_call (i32.const 1072) (i32.const 2) (i32.const 1040) (i32.const 7)
      (i32.const 1056) (i32.const 3) (i32.const 1104) (i32.const 5))) (return))
    ;; i: calls the host for ever, and reads its answers
    (loop $forever (drop (call $call_host)) (call $copy) (br $forever)))
    ;; j: calls the host for ever, and does not read
    (loop $forever (drop (call $call_host)) (br $forever)))
    ;; k: prints for ever
    (loop $forever (call $write (i32.const 1) (i32.const 0) (i32.const 65536)) (br $forever)))
    ;; l: prints 256 KiB of error and fails
    (call $write (i32.const 2) (i32.const 0) (i32.const 262144)) (call $proc_exit (i32.const 1)))
    ;; m: reads to where it has no memory, and prints the error's number
    (i32.store (i32.const 0) (i32.const 262140)) (i32.store (i32.const 4) (i32.const 8))
    (call $print_number (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))) (return))
    ;; n: traps
    unreachable)
    ;; o: spins
    (loop $forever (br $forever)))
    ;; p: gives lists of buffers from outside its memory, and results
    (call $print_number (call $fd_read (i32.const 0) (i32.const -4) (i32.const 1) (i32.const 8)))
    (call $print_number (call $fd_read (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 8)))
    (call $print_number (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const -2)))
    (call $print_number (call $args_get (i32.const -2) (i32.const 128)))
    (call $print_number (call $args_get (i32.const 64) (i32.const -2)))
    (call $print_number (call $args_sizes_get (i32.const -2) (i32.const 56)))
    (call $print_number (call $fd_read (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))) (return))
    ;; q: prints its counters, and raises them
    (call $print_number (global.get $runs))
    (call $print_number (i32.load (i32.const 512)))
    (global.set $runs (i32.add (global.get $runs) (i32.const 1)))
    (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1)))
    (i32.store (i32.const 262140) (i32.const 99))
    (drop (memory.grow (i32.const 1)))
    (call $print_number (i32.load (i32.const 262144)))
    (i32.store (i32.const 262144) (i32.const 98))
    ;; ends as the next letter says
    (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)))
    (if (i32.eq (i32.load8_u (i32.const 32)) (i32.const 120)) (then (call $proc_exit (i32.const 1)))) ;; x
    (if (i32.eq (i32.load8_u (i32.const 32)) (i32.const 116)) (then (unreachable)))                   ;; t
    (if (i32.eq (i32.load8_u (i32.const 32)) (i32.const 115)) (then (loop $forever (br $forever))))   ;; s
    (if (i32.eq (i32.load8_u (i32.const 32)) (i32.const 122)) (then (call $proc_exit (i32.const 0)))) ;; z
    (return))
    ;; r: prints the number of its arguments and all of them
    (call $print_number (i32.load (i32.const 56)))
    (call $write (i32.const 1) (i32.const 128) (i32.load (i32.const 60))) (return))
    ;; s: calls the host by a name of 2 KiB
    (drop (call $host_call (i32.const 1024) (i32.const 2048) (i32.const 1040) (i32.const 7)
      (i32.const 1056) (i32.const 3) (i32.const 0) (i32.const 0))) (return))
    ;; t: divides by zero, after a word
    (call $write (i32.const 2) (i32.const 1088) (i32.const 9))
    (drop (i32.div_u (i32.const 1) (i32.load (i32.const 600))))))
