;; Recursive functions, one for each way out of a function.
(module
  (type $pair (func (param i32) (result i32 i64)))
  (table funcref (elem $tail_indirect))

  (func $end (export "end") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $end (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))

  (func $return (export "return") (param i32) (result i32)
    (block
      (loop
        (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
        (br_if 1 (i32.and (local.get 0) (i32.const 1)))
        ;; A value that the return must discard.
        (i32.const 7)
        (return (i32.add (i32.const 1) (call $return (i32.sub (local.get 0) (i32.const 1)))))))
    (i32.add (i32.const 1) (call $return (i32.sub (local.get 0) (i32.const 1)))))

  (func $branch (export "branch") (param i32) (result i32) (local i32)
    (block
      (br_if 0 (local.get 0))
      (br 1 (i32.const 0)))
    (local.set 1 (i32.add (i32.const 1) (call $branch (i32.sub (local.get 0) (i32.const 1)))))
    (drop (br_if 0 (local.get 1) (i32.and (local.get 0) (i32.const 1))))
    (block (result i32)
      (br_table 1 0 1 (local.get 1) (i32.const 3))))

  (func $nothing (export "nothing") (param i32)
    (br_if 0 (i32.eqz (local.get 0)))
    (call $nothing (i32.sub (local.get 0) (i32.const 1)))
    (if (i32.and (local.get 0) (i32.const 1)) (then return)))

  (func $several (export "several") (type $pair)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0) (i64.const 1))))
    (call $several (i32.sub (local.get 0) (i32.const 1)))
    (return))

  ;; It never nests: it must give its stack back before the tail call.
  (func $tail (export "tail") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (return_call $tail (i32.sub (local.get 0) (i32.const 1))))
      (else (i32.const 1))))

  (func $tail_indirect (export "tail_indirect") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
    (return_call_indirect (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))

  ;; No cycle closes at these: the first pays for the second.
  (func (export "entry") (param i32) (result i32) (call $leaf (local.get 0)))
  (func $leaf (param i32) (result i32) (local i64 i64 i64 i64) (i32.add (local.get 0) (i32.const 1)))

  (func $trap (export "trap") (param i32)
    (if (i32.eqz (local.get 0)) (then unreachable))
    (call $trap (i32.sub (local.get 0) (i32.const 1)))))
