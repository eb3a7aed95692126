;; Sixteen fills of 64 KiB in straight code. Without a charge by length, they would cost only a few units.
(module
  (memory 1)
  (func $fill (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)))
  (func (export "run")
    (call $fill) (call $fill) (call $fill) (call $fill) (call $fill) (call $fill) (call $fill) (call $fill)
    (call $fill) (call $fill) (call $fill) (call $fill) (call $fill) (call $fill) (call $fill) (call $fill)))
