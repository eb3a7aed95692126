;; Deterministic work with loops, calls, a branch table and growing memory: fuel and result must not vary.
(module
  (memory 1 4)
  (func $collatz (param $n i64) (result i32) (local $steps i32)
    (block $done
      (loop $again
        (br_if $done (i64.le_u (local.get $n) (i64.const 1)))
        (local.set $steps (i32.add (local.get $steps) (i32.const 1)))
        (if (i64.eqz (i64.and (local.get $n) (i64.const 1)))
          (then (local.set $n (i64.shr_u (local.get $n) (i64.const 1))))
          (else (local.set $n (i64.add (i64.mul (local.get $n) (i64.const 3)) (i64.const 1)))))
        (br $again)))
    (local.get $steps))
  (func $fib (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "run") (result i32) (local $i i64) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (call $collatz (local.get $i))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $next (i64.lt_u (local.get $i) (i64.const 3000))))
    (drop (memory.grow (i32.const 2)))
    (drop (memory.grow (i32.const 1000)))
    (memory.fill (i32.const 0) (i32.const 3) (i32.const 100000))
    (i32.add (local.get $sum) (i32.add (call $fib (i32.const 20)) (i32.load8_u (i32.const 99999))))))
