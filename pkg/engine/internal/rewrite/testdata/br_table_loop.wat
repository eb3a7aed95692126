;; A branch table continues a loop from inside blocks.
(module
  (func (export "run") (local $i i32)
    (loop $again
      (block $out
        (block $a
          (local.set $i (i32.xor (local.get $i) (i32.const 1)))
          (br_table $again $a $again (local.get $i)))
        (br $again)))))
