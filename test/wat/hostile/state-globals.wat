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

;; Attack: keeps state from one evaluation to the next in globals of all types.
;; Must happen: every evaluation finds their initial values.
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"accepted\":true}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")

  (global $a (mut i32) (i32.const 7))
  (global $b (mut i64) (i64.const -7))
  (global $c (mut f32) (f32.const nan:0x200001))
  (global $d (mut f64) (f64.const nan:0x4000000000001))
  (global $e (mut funcref) (ref.null func))
  (elem declare func $f)
  (func $f)

  ;; An operation is recognized by the length of its name: "validate" has 8
  ;; letters, "validate_settings" 17, "protocol_version" 16. The guest does not
  ;; attack on short requests.
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (if (i32.eq (local.get $op_len) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (i32.eq (local.get $op_len) (i32.const 16))
      (then (call $response (i32.const 512) (i32.const 4)) (return (i32.const 1))))
    (if (i32.ge_u (local.get $payload_len) (i32.const 100))
      (then (call $attack)))
    (call $response (i32.const 0) (i32.const 17))
    (i32.const 1))

  (func $attack
    (drop (call $random_get (i32.const 600) (i32.const 8)))
    (if (i32.ne (global.get $a) (i32.const 7)) (then unreachable))
    (if (i64.ne (global.get $b) (i64.const -7)) (then unreachable))
    (if (i32.ne (i32.reinterpret_f32 (global.get $c)) (i32.const 0x7fa00001)) (then unreachable))
    (if (i64.ne (i64.reinterpret_f64 (global.get $d)) (i64.const 0x7ff4000000000001)) (then unreachable))
    (if (i32.eqz (ref.is_null (global.get $e))) (then unreachable))
    (global.set $a (i32.const 8))
    (global.set $b (i64.const 8))
    (global.set $c (f32.reinterpret_i32 (i32.const 0x7fa00002)))
    (global.set $d (f64.reinterpret_i64 (i64.const 0xfff4000000000002)))
    (global.set $e (ref.func $f)))
)
