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

;; Attack: 16 nested loops of 1024 iterations, each of which is short.
;; Must happen: the evaluation ends at its deadline.
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"accepted\":true}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")

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
    (local $n0 i32)
    (local $n1 i32)
    (local $n2 i32)
    (local $n3 i32)
    (local $n4 i32)
    (local $n5 i32)
    (local $n6 i32)
    (local $n7 i32)
    (local $n8 i32)
    (local $n9 i32)
    (local $n10 i32)
    (local $n11 i32)
    (local $n12 i32)
    (local $n13 i32)
    (local $n14 i32)
    (local $n15 i32)
    (local.set $n0 (i32.const 1024))
    (loop $l0
      (local.set $n1 (i32.const 1024))
      (loop $l1
        (local.set $n2 (i32.const 1024))
        (loop $l2
          (local.set $n3 (i32.const 1024))
          (loop $l3
            (local.set $n4 (i32.const 1024))
            (loop $l4
              (local.set $n5 (i32.const 1024))
              (loop $l5
                (local.set $n6 (i32.const 1024))
                (loop $l6
                  (local.set $n7 (i32.const 1024))
                  (loop $l7
                    (local.set $n8 (i32.const 1024))
                    (loop $l8
                      (local.set $n9 (i32.const 1024))
                      (loop $l9
                        (local.set $n10 (i32.const 1024))
                        (loop $l10
                          (local.set $n11 (i32.const 1024))
                          (loop $l11
                            (local.set $n12 (i32.const 1024))
                            (loop $l12
                              (local.set $n13 (i32.const 1024))
                              (loop $l13
                                (local.set $n14 (i32.const 1024))
                                (loop $l14
                                  (local.set $n15 (i32.const 1024))
                                  (loop $l15
                                  (br_if $l15 (local.tee $n15 (i32.sub (local.get $n15) (i32.const 1)))))
                                (br_if $l14 (local.tee $n14 (i32.sub (local.get $n14) (i32.const 1)))))
                              (br_if $l13 (local.tee $n13 (i32.sub (local.get $n13) (i32.const 1)))))
                            (br_if $l12 (local.tee $n12 (i32.sub (local.get $n12) (i32.const 1)))))
                          (br_if $l11 (local.tee $n11 (i32.sub (local.get $n11) (i32.const 1)))))
                        (br_if $l10 (local.tee $n10 (i32.sub (local.get $n10) (i32.const 1)))))
                      (br_if $l9 (local.tee $n9 (i32.sub (local.get $n9) (i32.const 1)))))
                    (br_if $l8 (local.tee $n8 (i32.sub (local.get $n8) (i32.const 1)))))
                  (br_if $l7 (local.tee $n7 (i32.sub (local.get $n7) (i32.const 1)))))
                (br_if $l6 (local.tee $n6 (i32.sub (local.get $n6) (i32.const 1)))))
              (br_if $l5 (local.tee $n5 (i32.sub (local.get $n5) (i32.const 1)))))
            (br_if $l4 (local.tee $n4 (i32.sub (local.get $n4) (i32.const 1)))))
          (br_if $l3 (local.tee $n3 (i32.sub (local.get $n3) (i32.const 1)))))
        (br_if $l2 (local.tee $n2 (i32.sub (local.get $n2) (i32.const 1)))))
      (br_if $l1 (local.tee $n1 (i32.sub (local.get $n1) (i32.const 1)))))
    (br_if $l0 (local.tee $n0 (i32.sub (local.get $n0) (i32.const 1))))))
)
