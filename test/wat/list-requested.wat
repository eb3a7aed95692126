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

;; Makes the host call list_resources_all with the data of the request's ConfigMap as the
;; payload. Accepts if an object is found, that is, if the answer is longer than an empty
;; list. Returns the host's error as its own.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_response_len (result i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "kubewarden")
  (data (i32.const 16) "kubernetes")
  (data (i32.const 32) "list_resources_all")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")
  (data (i32.const 768) "{\"accepted\":true}")
  (data (i32.const 1024) "{\"accepted\":false,\"message\":\"nothing was found\"}")

  ;; An operation is recognized by the length of its name: "validate" has 8
  ;; letters, "validate_settings" 17, "protocol_version" 16.
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (local $data i32) (local $end i32)
    (if (i32.eq (local.get $op_len) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (i32.eq (local.get $op_len) (i32.const 16))
      (then (call $response (i32.const 512) (i32.const 4)) (return (i32.const 1))))
    (call $request (i32.const 3072) (i32.const 4096))
    ;; From after the first "data": to the first closing brace.
    (local.set $data (i32.const 4095))
    (loop $next
      (local.set $data (i32.add (local.get $data) (i32.const 1)))
      (br_if $next (i64.ne (i64.and (i64.load (local.get $data)) (i64.const 0xffffffffffffff))
                           (i64.const 0x3a226174616422)))) ;; "data":
    (local.set $data (i32.add (local.get $data) (i32.const 7)))
    (local.set $end (local.get $data))
    (loop $next
      (local.set $end (i32.add (local.get $end) (i32.const 1)))
      (br_if $next (i32.ne (i32.load8_u (i32.sub (local.get $end) (i32.const 1))) (i32.const 0x7d))))
    (if (i32.eqz (call $host_call
          (i32.const 0) (i32.const 10)
          (i32.const 16) (i32.const 10)
          (i32.const 32) (i32.const 18)
          (local.get $data) (i32.sub (local.get $end) (local.get $data))))
      (then
        (call $host_error (i32.const 4096))
        (call $error (i32.const 4096) (call $host_error_len))
        (return (i32.const 0))))
    (if (i32.lt_u (call $host_response_len) (i32.const 128))
      (then (call $response (i32.const 1024) (i32.const 48)))
      (else (call $response (i32.const 768) (i32.const 17))))
    (i32.const 1))
)
