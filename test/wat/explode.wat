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

;; For a payload of 100 bytes or more: 33 functions, each of which calls the next one
;; twice. That is 2^33 calls, without a loop and without recursion. Accepts shorter
;; requests.
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"accepted\":true}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")

  (func $f0 (call $f1) (call $f1))
  (func $f1 (call $f2) (call $f2))
  (func $f2 (call $f3) (call $f3))
  (func $f3 (call $f4) (call $f4))
  (func $f4 (call $f5) (call $f5))
  (func $f5 (call $f6) (call $f6))
  (func $f6 (call $f7) (call $f7))
  (func $f7 (call $f8) (call $f8))
  (func $f8 (call $f9) (call $f9))
  (func $f9 (call $f10) (call $f10))
  (func $f10 (call $f11) (call $f11))
  (func $f11 (call $f12) (call $f12))
  (func $f12 (call $f13) (call $f13))
  (func $f13 (call $f14) (call $f14))
  (func $f14 (call $f15) (call $f15))
  (func $f15 (call $f16) (call $f16))
  (func $f16 (call $f17) (call $f17))
  (func $f17 (call $f18) (call $f18))
  (func $f18 (call $f19) (call $f19))
  (func $f19 (call $f20) (call $f20))
  (func $f20 (call $f21) (call $f21))
  (func $f21 (call $f22) (call $f22))
  (func $f22 (call $f23) (call $f23))
  (func $f23 (call $f24) (call $f24))
  (func $f24 (call $f25) (call $f25))
  (func $f25 (call $f26) (call $f26))
  (func $f26 (call $f27) (call $f27))
  (func $f27 (call $f28) (call $f28))
  (func $f28 (call $f29) (call $f29))
  (func $f29 (call $f30) (call $f30))
  (func $f30 (call $f31) (call $f31))
  (func $f31 (call $f32) (call $f32))
  (func $f32)

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
    (call $f0))
)
