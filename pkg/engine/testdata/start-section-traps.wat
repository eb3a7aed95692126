;; The start section runs before anyone can call an export.
(module
  (memory (export "memory") 1)
  (func $start unreachable)
  (start $start))
