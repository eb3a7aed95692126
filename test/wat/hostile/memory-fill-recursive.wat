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

;; Attack: fills 64 MiB of memory twice in each of 33 levels of calls, without
;; a loop.
;; Must happen: the evaluation ends at its deadline or soon after.
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"accepted\":true}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")

  (func $f0 (memory.fill (i32.const 65536) (i32.const 0) (i32.const 0x4000000)) (call $f1) (call $f1))
  (func $f1 (memory.fill (i32.const 65536) (i32.const 1) (i32.const 0x4000000)) (call $f2) (call $f2))
  (func $f2 (memory.fill (i32.const 65536) (i32.const 2) (i32.const 0x4000000)) (call $f3) (call $f3))
  (func $f3 (memory.fill (i32.const 65536) (i32.const 3) (i32.const 0x4000000)) (call $f4) (call $f4))
  (func $f4 (memory.fill (i32.const 65536) (i32.const 4) (i32.const 0x4000000)) (call $f5) (call $f5))
  (func $f5 (memory.fill (i32.const 65536) (i32.const 5) (i32.const 0x4000000)) (call $f6) (call $f6))
  (func $f6 (memory.fill (i32.const 65536) (i32.const 6) (i32.const 0x4000000)) (call $f7) (call $f7))
  (func $f7 (memory.fill (i32.const 65536) (i32.const 7) (i32.const 0x4000000)) (call $f8) (call $f8))
  (func $f8 (memory.fill (i32.const 65536) (i32.const 8) (i32.const 0x4000000)) (call $f9) (call $f9))
  (func $f9 (memory.fill (i32.const 65536) (i32.const 9) (i32.const 0x4000000)) (call $f10) (call $f10))
  (func $f10 (memory.fill (i32.const 65536) (i32.const 10) (i32.const 0x4000000)) (call $f11) (call $f11))
  (func $f11 (memory.fill (i32.const 65536) (i32.const 11) (i32.const 0x4000000)) (call $f12) (call $f12))
  (func $f12 (memory.fill (i32.const 65536) (i32.const 12) (i32.const 0x4000000)) (call $f13) (call $f13))
  (func $f13 (memory.fill (i32.const 65536) (i32.const 13) (i32.const 0x4000000)) (call $f14) (call $f14))
  (func $f14 (memory.fill (i32.const 65536) (i32.const 14) (i32.const 0x4000000)) (call $f15) (call $f15))
  (func $f15 (memory.fill (i32.const 65536) (i32.const 15) (i32.const 0x4000000)) (call $f16) (call $f16))
  (func $f16 (memory.fill (i32.const 65536) (i32.const 16) (i32.const 0x4000000)) (call $f17) (call $f17))
  (func $f17 (memory.fill (i32.const 65536) (i32.const 17) (i32.const 0x4000000)) (call $f18) (call $f18))
  (func $f18 (memory.fill (i32.const 65536) (i32.const 18) (i32.const 0x4000000)) (call $f19) (call $f19))
  (func $f19 (memory.fill (i32.const 65536) (i32.const 19) (i32.const 0x4000000)) (call $f20) (call $f20))
  (func $f20 (memory.fill (i32.const 65536) (i32.const 20) (i32.const 0x4000000)) (call $f21) (call $f21))
  (func $f21 (memory.fill (i32.const 65536) (i32.const 21) (i32.const 0x4000000)) (call $f22) (call $f22))
  (func $f22 (memory.fill (i32.const 65536) (i32.const 22) (i32.const 0x4000000)) (call $f23) (call $f23))
  (func $f23 (memory.fill (i32.const 65536) (i32.const 23) (i32.const 0x4000000)) (call $f24) (call $f24))
  (func $f24 (memory.fill (i32.const 65536) (i32.const 24) (i32.const 0x4000000)) (call $f25) (call $f25))
  (func $f25 (memory.fill (i32.const 65536) (i32.const 25) (i32.const 0x4000000)) (call $f26) (call $f26))
  (func $f26 (memory.fill (i32.const 65536) (i32.const 26) (i32.const 0x4000000)) (call $f27) (call $f27))
  (func $f27 (memory.fill (i32.const 65536) (i32.const 27) (i32.const 0x4000000)) (call $f28) (call $f28))
  (func $f28 (memory.fill (i32.const 65536) (i32.const 28) (i32.const 0x4000000)) (call $f29) (call $f29))
  (func $f29 (memory.fill (i32.const 65536) (i32.const 29) (i32.const 0x4000000)) (call $f30) (call $f30))
  (func $f30 (memory.fill (i32.const 65536) (i32.const 30) (i32.const 0x4000000)) (call $f31) (call $f31))
  (func $f31 (memory.fill (i32.const 65536) (i32.const 31) (i32.const 0x4000000)) (call $f32) (call $f32))
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
    (drop (memory.grow (i32.const 1024)))
    (call $f0))
)
