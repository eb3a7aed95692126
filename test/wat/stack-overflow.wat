;; Copyright The WasmAdmission Authors.
;;
;; Licensed under the Apache License, Version 2.0 (the "License");
;; you may not use this file except in compliance with the License.
;; You may obtain a copy of the License at
;;
;;     http://www.apache.org/licenses/LICENSE-2.0
;;
;; Unless required by applicable law or agreed to in writing, software
;; distributed under the License is distributed on an "AS IS" BASIS,
;; WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
;; See the License for the specific language governing permissions and
;; limitations under the License.

;; Recurses in validate until the stack overflows.
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")

  ;; The addition after the call keeps it from being a tail call.
  (func $deeper (param $depth i32) (result i32)
    (i32.add (call $deeper (i32.add (local.get $depth) (i32.const 1))) (i32.const 1)))

  ;; An operation is recognized by the length of its name: "validate" has 8
  ;; letters, "validate_settings" 17, "protocol_version" 16.
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (if (i32.eq (local.get $op_len) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (i32.eq (local.get $op_len) (i32.const 16))
      (then (call $response (i32.const 512) (i32.const 4)) (return (i32.const 1))))
    (call $deeper (local.get $payload_len)))
)
