;; The start section runs before anybody can call an export.
(module
  (memory (export "memory") 1)
  (func $start unreachable)
  (start $start))
