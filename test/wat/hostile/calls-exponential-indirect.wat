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

;; Attack: as calls-exponential, through a table.
;; Must happen: the evaluation ends at its deadline.
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"accepted\":true}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")

  (type $t (func))
  (table 33 funcref)
  (elem (i32.const 0) $f0 $f1 $f2 $f3 $f4 $f5 $f6 $f7 $f8 $f9 $f10 $f11 $f12 $f13 $f14 $f15 $f16 $f17 $f18 $f19 $f20 $f21 $f22 $f23 $f24 $f25 $f26 $f27 $f28 $f29 $f30 $f31 $f32)
  (func $f0 (call_indirect (type $t) (i32.const 1)) (call_indirect (type $t) (i32.const 1)))
  (func $f1 (call_indirect (type $t) (i32.const 2)) (call_indirect (type $t) (i32.const 2)))
  (func $f2 (call_indirect (type $t) (i32.const 3)) (call_indirect (type $t) (i32.const 3)))
  (func $f3 (call_indirect (type $t) (i32.const 4)) (call_indirect (type $t) (i32.const 4)))
  (func $f4 (call_indirect (type $t) (i32.const 5)) (call_indirect (type $t) (i32.const 5)))
  (func $f5 (call_indirect (type $t) (i32.const 6)) (call_indirect (type $t) (i32.const 6)))
  (func $f6 (call_indirect (type $t) (i32.const 7)) (call_indirect (type $t) (i32.const 7)))
  (func $f7 (call_indirect (type $t) (i32.const 8)) (call_indirect (type $t) (i32.const 8)))
  (func $f8 (call_indirect (type $t) (i32.const 9)) (call_indirect (type $t) (i32.const 9)))
  (func $f9 (call_indirect (type $t) (i32.const 10)) (call_indirect (type $t) (i32.const 10)))
  (func $f10 (call_indirect (type $t) (i32.const 11)) (call_indirect (type $t) (i32.const 11)))
  (func $f11 (call_indirect (type $t) (i32.const 12)) (call_indirect (type $t) (i32.const 12)))
  (func $f12 (call_indirect (type $t) (i32.const 13)) (call_indirect (type $t) (i32.const 13)))
  (func $f13 (call_indirect (type $t) (i32.const 14)) (call_indirect (type $t) (i32.const 14)))
  (func $f14 (call_indirect (type $t) (i32.const 15)) (call_indirect (type $t) (i32.const 15)))
  (func $f15 (call_indirect (type $t) (i32.const 16)) (call_indirect (type $t) (i32.const 16)))
  (func $f16 (call_indirect (type $t) (i32.const 17)) (call_indirect (type $t) (i32.const 17)))
  (func $f17 (call_indirect (type $t) (i32.const 18)) (call_indirect (type $t) (i32.const 18)))
  (func $f18 (call_indirect (type $t) (i32.const 19)) (call_indirect (type $t) (i32.const 19)))
  (func $f19 (call_indirect (type $t) (i32.const 20)) (call_indirect (type $t) (i32.const 20)))
  (func $f20 (call_indirect (type $t) (i32.const 21)) (call_indirect (type $t) (i32.const 21)))
  (func $f21 (call_indirect (type $t) (i32.const 22)) (call_indirect (type $t) (i32.const 22)))
  (func $f22 (call_indirect (type $t) (i32.const 23)) (call_indirect (type $t) (i32.const 23)))
  (func $f23 (call_indirect (type $t) (i32.const 24)) (call_indirect (type $t) (i32.const 24)))
  (func $f24 (call_indirect (type $t) (i32.const 25)) (call_indirect (type $t) (i32.const 25)))
  (func $f25 (call_indirect (type $t) (i32.const 26)) (call_indirect (type $t) (i32.const 26)))
  (func $f26 (call_indirect (type $t) (i32.const 27)) (call_indirect (type $t) (i32.const 27)))
  (func $f27 (call_indirect (type $t) (i32.const 28)) (call_indirect (type $t) (i32.const 28)))
  (func $f28 (call_indirect (type $t) (i32.const 29)) (call_indirect (type $t) (i32.const 29)))
  (func $f29 (call_indirect (type $t) (i32.const 30)) (call_indirect (type $t) (i32.const 30)))
  (func $f30 (call_indirect (type $t) (i32.const 31)) (call_indirect (type $t) (i32.const 31)))
  (func $f31 (call_indirect (type $t) (i32.const 32)) (call_indirect (type $t) (i32.const 32)))
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
    (call_indirect (type $t) (i32.const 0)))
)
