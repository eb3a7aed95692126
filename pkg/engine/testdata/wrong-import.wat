;; Wants a host function with another type than it has.
(module
  (import "host" "add" (func (param i64) (result i64)))
  (memory (export "memory") 1))
