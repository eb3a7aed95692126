;; Imports something that no host has.
(module
  (import "env" "mystery" (func))
  (memory (export "memory") 1))
