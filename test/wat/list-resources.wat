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

;; Makes the host call list_resources_all with its settings as the payload, and accepts.
;; Returns the host's error as its own. If a text in the settings begins with rea, it
;; copies the list into its memory. A payload of 60 KiB or more does not fit.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $host_response_len (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "kubewarden")
  (data (i32.const 16) "kubernetes")
  (data (i32.const 32) "list_resources_all")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")
  (data (i32.const 768) "{\"accepted\":true}")

  ;; The position of the settings in the payload at 4096, after the last
  ;; "settings":
  (func $settings (param $payload_len i32) (result i32)
    (local $at i32)
    (local.set $at (i32.add (i32.const 4088) (local.get $payload_len)))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $next (i64.ne (i64.load (local.get $at)) (i64.const 0x676e697474657322)))) ;; "setting
    (i32.add (local.get $at) (i32.const 11)))

  ;; Returns whether the text "rea is between two positions.
  (func $reads (param $at i32) (param $end i32) (result i32)
    (loop $next
      (if (i32.eq (i32.load (local.get $at)) (i32.const 0x61657222)) ;; "rea
        (then (return (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (i32.const 0))

  (func $read
    (drop (memory.grow (i32.add (i32.shr_u (call $host_response_len) (i32.const 16)) (i32.const 1))))
    (call $host_response (i32.const 65536)))

  ;; An operation is recognized by the length of its name: "validate" has 8
  ;; letters, "validate_settings" 17, "protocol_version" 16.
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (local $settings i32) (local $end i32)
    (if (i32.eq (local.get $op_len) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (i32.eq (local.get $op_len) (i32.const 16))
      (then (call $response (i32.const 512) (i32.const 4)) (return (i32.const 1))))
    (call $request (i32.const 3072) (i32.const 4096))
    (local.set $settings (call $settings (local.get $payload_len)))
    (local.set $end (i32.add (i32.const 4095) (local.get $payload_len)))
    (if (i32.eqz (call $host_call
          (i32.const 0) (i32.const 10)
          (i32.const 16) (i32.const 10)
          (i32.const 32) (i32.const 18)
          (local.get $settings) (i32.sub (local.get $end) (local.get $settings))))
      (then
        (call $host_error (i32.const 4096))
        (call $error (i32.const 4096) (call $host_error_len))
        (return (i32.const 0))))
    (if (call $reads (local.get $settings) (local.get $end))
      (then (call $read)))
    (call $response (i32.const 768) (i32.const 17))
    (i32.const 1))
)
