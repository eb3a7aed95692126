;; Has a table that is larger than the tests allow.
(module
  (memory (export "memory") 1)
  (table 1001 funcref))
