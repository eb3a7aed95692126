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

;; Returns its settings as the response, so tests can use it for any response,
;; including mutated objects.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 64)
  (data (i32.const 0) ",\"settings\":")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")

  ;; An operation is recognized by the length of its name: "validate" has 8
  ;; letters, "validate_settings" 17, "protocol_version" 16.
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (local $at i32)
    (if (i32.eq (local.get $op_len) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (i32.eq (local.get $op_len) (i32.const 16))
      (then (call $response (i32.const 512) (i32.const 4)) (return (i32.const 1))))
    (call $request (i32.const 768) (i32.const 1024))
    ;; The payload is {"request":…,"settings":…}. The settings are what follows the
    ;; last such key, without the brace at the end.
    (local.set $at (i32.add (i32.const 1012) (local.get $payload_len)))
    (loop $back
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $back (i64.ne (i64.load (local.get $at)) (i64.load (i32.const 0))))
      (br_if $back (i32.ne (i32.load (i32.add (local.get $at) (i32.const 8))) (i32.load (i32.const 8)))))
    (local.set $at (i32.add (local.get $at) (i32.const 12)))
    (call $response (local.get $at)
      (i32.sub (i32.add (i32.const 1023) (local.get $payload_len)) (local.get $at)))
    (i32.const 1))
)
