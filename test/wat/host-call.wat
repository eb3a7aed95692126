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

;; Asks the host for the Namespace "default" (binding kubewarden, namespace kubernetes,
;; operation get_resource). Accepts if it gets the Namespace. Otherwise denies the
;; request with the host's error, which must be plain text of less than 60 KiB without
;; quotes or backslashes.
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "kubewarden")
  (data (i32.const 16) "kubernetes")
  (data (i32.const 32) "get_resource")
  (data (i32.const 64) "{\"api_version\":\"v1\",\"kind\":\"Namespace\",\"name\":\"default\",\"disable_cache\":false}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")
  (data (i32.const 768) "{\"accepted\":true}")
  ;; The denial. The host's error is copied after this, followed by the end.
  (data (i32.const 1024) "{\"accepted\":false,\"message\":\"")
  (data (i32.const 896) "\"}")

  ;; An operation is recognized by the length of its name: "validate" has 8
  ;; letters, "validate_settings" 17, "protocol_version" 16.
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (local $end i32)
    (if (i32.eq (local.get $op_len) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (i32.eq (local.get $op_len) (i32.const 16))
      (then (call $response (i32.const 512) (i32.const 4)) (return (i32.const 1))))
    (if (call $host_call
          (i32.const 0) (i32.const 10)
          (i32.const 16) (i32.const 10)
          (i32.const 32) (i32.const 12)
          (i32.const 64) (i32.const 78))
      (then (call $response (i32.const 768) (i32.const 17)) (return (i32.const 1))))
    (call $host_error (i32.const 1053))
    (local.set $end (i32.add (i32.const 1053) (call $host_error_len)))
    (memory.copy (local.get $end) (i32.const 896) (i32.const 2))
    (call $response (i32.const 1024) (i32.sub (i32.add (local.get $end) (i32.const 2)) (i32.const 1024)))
    (i32.const 1))
)
