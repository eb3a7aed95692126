;; A module that imports its memory, like those of the Open Policy Agent.
(module
  (import "env" "memory" (memory 2 9))
  (import "env" "log" (func $log (param i32)))
  (data (i32.const 16) "data")
  (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "set") (param i32 i32) (call $log (local.get 0)) (i32.store (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (export "memory" (memory 0)))
