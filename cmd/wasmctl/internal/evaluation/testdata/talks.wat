;; Accepts all settings and all requests, and writes a line to the console each time.
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__console_log" (func $console_log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (data (i32.const 64) "a word of the policy")
  (func (export "__guest_call") (param i32 i32) (result i32)
    (call $console_log (i32.const 64) (i32.const 20))
    (call $response (i32.const 0) (i32.const 30))
    (i32.const 1)))
