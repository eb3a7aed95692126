;; Has a larger table than the tests allow.
(module
  (memory (export "memory") 1)
  (table 1001 funcref))
