;; Needs more linear memory at the start than a small limit allows.
(module (memory (export "memory") 100))
