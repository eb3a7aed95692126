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

;; Accepts requests whose JSON contains the text in its settings, {"text":"…"}.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 64)
  (data (i32.const 0) ",\"settings\":")
  (data (i32.const 16) "{\"accepted\":true}")
  (data (i32.const 64) "{\"accepted\":false,\"message\":\"the text is not in the request\"}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")

  ;; Returns whether the $length bytes at $a and at $b are equal.
  (func $equal (param $a i32) (param $b i32) (param $length i32) (result i32)
    (loop $next
      (if (i32.le_s (local.get $length) (i32.const 0)) (then (return (i32.const 1))))
      (if (i32.ne (i32.load8_u (local.get $a)) (i32.load8_u (local.get $b))) (then (return (i32.const 0))))
      (local.set $a (i32.add (local.get $a) (i32.const 1)))
      (local.set $b (i32.add (local.get $b) (i32.const 1)))
      (local.set $length (i32.sub (local.get $length) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; An operation is recognized by the length of its name: "validate" has 8
  ;; letters, "validate_settings" 17, "protocol_version" 16.
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (local $settings i32) (local $at i32) (local $length i32)
    (if (i32.eq (local.get $op_len) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (i32.eq (local.get $op_len) (i32.const 16))
      (then (call $response (i32.const 512) (i32.const 4)) (return (i32.const 1))))
    (call $request (i32.const 768) (i32.const 1024))
    ;; The payload is {"request":…,"settings":…}: find the last such key.
    (local.set $settings (i32.add (i32.const 1012) (local.get $payload_len)))
    (loop $back
      (local.set $settings (i32.sub (local.get $settings) (i32.const 1)))
      (br_if $back (i32.eqz (call $equal (local.get $settings) (i32.const 0) (i32.const 12)))))
    ;; {"text":" takes 9 bytes, "} and the payload's brace 3.
    (local.set $length (i32.sub
      (i32.add (i32.const 1021) (local.get $payload_len))
      (i32.add (local.get $settings) (i32.const 21))))
    (local.set $at (i32.const 1024))
    (loop $forth
      (if (call $equal (local.get $at) (i32.add (local.get $settings) (i32.const 21)) (local.get $length))
        (then (call $response (i32.const 16) (i32.const 17)) (return (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $forth (i32.le_s (i32.add (local.get $at) (local.get $length)) (local.get $settings))))
    (call $response (i32.const 64) (i32.const 61))
    (i32.const 1))
)
