;; Every way into and out of a loop that calls nothing. Each function loops as
;; often as its parameter says.
(module
  (memory 1)
  (func (export "end") (param $n i32)
    (loop $turn
      (br_if $turn (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "end_with_value") (param $n i32) (result i32)
    (loop $turn (result i32)
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $turn (local.get $n))
      (local.get $n)))
  (func (export "br") (param $n i32)
    (block $out
      (loop $turn
        (if (i32.eqz (local.tee $n (i32.sub (local.get $n) (i32.const 1)))) (then (br $out)))
        (br $turn))))
  (func (export "br_if") (param $n i32)
    (block $out
      (loop $turn
        (br_if $out (i32.eqz (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (br $turn))))
  (func (export "br_if_with_value") (param $n i32) (result i32)
    (block $out (result i32)
      (loop $turn
        (br_if $out (i32.const 7) (i32.eqz (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (drop)
        (br $turn))
      (unreachable)))
  (func (export "br_table") (param $n i32)
    (block $out
      (loop $turn
        (br_table $out $turn (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
  (func (export "return") (param $n i32) (result i32)
    (loop $turn
      (if (i32.eqz (local.tee $n (i32.sub (local.get $n) (i32.const 1)))) (then (return (i32.const 7))))
      (br $turn))
    (unreachable))
  (func (export "to_the_end_of_the_function") (param $n i32)
    (loop $turn
      (br_if 1 (i32.eqz (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (br $turn)))
  (func (export "to_a_turn_of_the_outer_loop") (param $n i32)
    (local $m i32)
    (loop $outer
      (local.set $m (i32.const 3))
      (if (local.tee $n (i32.sub (local.get $n) (i32.const 1)))
        (then
          (loop $turn
            (br_if $outer (i32.eqz (local.tee $m (i32.sub (local.get $m) (i32.const 1)))))
            (br $turn))))))
  (func (export "one_after_the_other") (param $n i32)
    (local $m i32)
    (local.set $m (local.get $n))
    (loop $turn
      (br_if $turn (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (loop $turn
      (br_if $turn (local.tee $m (i32.sub (local.get $m) (i32.const 1))))))
  (func (export "with_parameters") (param $n i32) (result i32)
    (local.get $n)
    (loop $turn (param i32) (result i32)
      (i32.sub (i32.const 1))
      (local.tee $n)
      (br_if $turn (local.get $n))))
  (func (export "behind_code_that_is_not_reached") (param $n i32)
    (block $out
      (loop $turn
        (br_if $out (i32.eqz (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (br $turn)
        (br_if $out (i32.const 1))
        (loop $never (br_if $never (i32.const 1)) (br $out)))))
  (func $again (export "recursion") (param $n i32)
    (local $m i32)
    (local.set $m (i32.const 3))
    (loop $turn
      (if (i32.eqz (local.get $n)) (then (return)))
      (br_if $turn (local.tee $m (i32.sub (local.get $m) (i32.const 1)))))
    (call $again (i32.sub (local.get $n) (i32.const 1))))
  (func (export "trap") (param $n i32)
    (loop $turn
      (drop (i32.div_s (i32.const 1) (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (br $turn))))
