;; A waPC guest whose operations are letters: each does one thing that a guest
;; may do to its host. Operation and payload are fetched to 0 and 4096.
(module
  (import "wapc" "__guest_request" (func $guest_request (param i32 i32)))
  (import "wapc" "__guest_response" (func $guest_response (param i32 i32)))
  (import "wapc" "__guest_error" (func $guest_error (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_response_len (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (import "wapc" "__console_log" (func $console_log (param i32 i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 1024) "kubewarden")
  (data (i32.const 1040) "tracing")
  (data (i32.const 1056) "log")
  (data (i32.const 1072) "\ff\fe")
  (data (i32.const 1088) "the text")
  (data (i32.const 1104) "\60\04\00\00\08\00\00\00") ;; iovec: 1120, 8
  (data (i32.const 1120) "printed\0a")
  (data (i32.const 1136) "\60\04\00\00\07\00\00\00") ;; iovec: 1120, 7: no line end

  ;; What start functions say is not an answer.
  (func (export "wapc_init")
    (call $guest_request (i32.const 0) (i32.const -1))
    (call $guest_response (i32.const 1088) (i32.const 3))
    (call $guest_error (i32.const 1088) (i32.const 8)))

  (func $call_host (result i32)
    (call $host_call (i32.const 1024) (i32.const 10) (i32.const 1040) (i32.const 7)
      (i32.const 1056) (i32.const 3) (i32.const 4096) (i32.const 5)))

  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (call $guest_request (i32.const 0) (i32.const 4096))
    (block $t (block $s (block $r (block $q (block $p (block $o (block $n (block $m (block $l (block $k
    (block $j (block $i (block $h (block $g (block $f (block $e (block $d (block $c (block $b (block $a
      (br_table $a $b $c $d $e $f $g $h $i $j $k $l $m $n $o $p $q $r $s $t
        (i32.sub (i32.load8_u (i32.const 0)) (i32.const 97))))
    ;; a: answers with its payload
    (call $guest_response (i32.const 4096) (local.get $payload_len)) (return (i32.const 1)))
    ;; b: reports an error
    (call $guest_error (i32.const 1088) (i32.const 8)) (return (i32.const 0)))
    ;; c: answers and reports an error, and says that it succeeded
    (call $guest_response (i32.const 4096) (local.get $payload_len))
    (call $guest_error (i32.const 1088) (i32.const 8)) (return (i32.const 1)))
    ;; d: says that it succeeded and nothing else
    (return (i32.const 1)))
    ;; e: says that it failed and nothing else
    (return (i32.const 0)))
    ;; f: answers and says that it failed
    (call $guest_response (i32.const 4096) (local.get $payload_len)) (return (i32.const 0)))
    ;; g: answers with more than its memory holds
    (call $guest_response (i32.const 262140) (i32.const 5)) (return (i32.const 1)))
    ;; h: answers with 4 GiB
    (call $guest_response (i32.const 0) (i32.const -1)) (return (i32.const 1)))
    ;; i: has its request written outside its memory
    (call $guest_request (i32.const 0) (i32.const -1)) (return (i32.const 1)))
    ;; j: calls the host, and passes on what it says
    (if (call $call_host)
      (then (call $host_response (i32.const 8192))
            (call $guest_response (i32.const 8192) (call $host_response_len)) (return (i32.const 1))))
    (call $host_error (i32.const 8192))
    (call $guest_error (i32.const 8192) (call $host_error_len)) (return (i32.const 0)))
    ;; k: calls the host by a name that is not UTF-8
    (return (call $host_call (i32.const 1072) (i32.const 2) (i32.const 1040) (i32.const 7)
      (i32.const 1056) (i32.const 3) (i32.const 0) (i32.const 0))))
    ;; l: calls the host for ever
    (loop $forever (drop (call $call_host)) (br $forever)))
    ;; m: logs, prints to both outputs, and prints without ending the line
    (call $console_log (i32.const 1088) (i32.const 8))
    (drop (call $fd_write (i32.const 1) (i32.const 1104) (i32.const 1) (i32.const 8)))
    (drop (call $fd_write (i32.const 2) (i32.const 1136) (i32.const 1) (i32.const 8)))
    (drop (call $fd_write (i32.const 2) (i32.const 1136) (i32.const 1) (i32.const 8)))
    (call $guest_response (i32.const 0) (i32.const 0)) (return (i32.const 1)))
    ;; n: logs from outside its memory
    (call $console_log (i32.const -1) (i32.const 8)) (return (i32.const 1)))
    ;; o: asks for answers that the host never gave: lengths must be zero
    (call $host_response (i32.const -1)) (call $host_error (i32.const -1))
    (call $guest_response (i32.const 0) (i32.add (call $host_response_len) (call $host_error_len)))
    (return (i32.const 1)))
    ;; p: reports 200 KiB of error
    (call $guest_error (i32.const 0) (i32.const 204800)) (return (i32.const 0)))
    ;; q: calls the host with a payload from outside its memory
    (return (call $host_call (i32.const 1024) (i32.const 10) (i32.const 1040) (i32.const 7)
      (i32.const 1056) (i32.const 3) (i32.const 262140) (i32.const 5))))
    ;; r: calls the host by a name of 2 KiB
    (return (call $host_call (i32.const 1024) (i32.const 2048) (i32.const 1040) (i32.const 7)
      (i32.const 1056) (i32.const 3) (i32.const 0) (i32.const 0))))
    ;; s: has the host's answer written outside its memory
    (drop (call $call_host)) (call $host_response (i32.const -1)) (return (i32.const 1)))
    ;; t: traps
    unreachable))
