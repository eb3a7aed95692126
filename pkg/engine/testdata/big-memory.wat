;; Wants more linear memory than a small limit allows, from the start.
(module (memory (export "memory") 100))
