;; Imports a host function with the wrong type.
(module
  (import "host" "add" (func (param i64) (result i64)))
  (memory (export "memory") 1))
