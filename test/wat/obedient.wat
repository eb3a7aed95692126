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

;; Follows a command: the letter after "do: at the start of the first such text in
;; its payload, in the request or else in the settings:
;;
;;   d  deny                       t  trap
;;   m  accept and mutate          s  spin forever
;;   w  accept, with a warning     e  report an error
;;      and an audit annotation
;;
;; With any other command, or none, it accepts. Each evaluation writes a line to the console.
;; A payload of 60 KiB or more does not fit.
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"accepted\":true}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")
  (data (i32.const 768) "{\"accepted\":false,\"message\":\"told to refuse\"}")
  (data (i32.const 1024) "{\"accepted\":true,\"mutated_object\":{\"kind\":\"Mutated\"}}")
  (data (i32.const 1280) "told to fail")
  (data (i32.const 1536) "evaluated")
  (data (i32.const 1792) "{\"accepted\":true,\"warnings\":[\"told to warn\"],\"audit_annotations\":{\"told\":\"to annotate\"}}")

  ;; The command for the guest: the letter, or 0. The operation goes to 3072 and the payload to 4096.
  (func $told (param $payload_len i32) (result i32)
    (local $at i32) (local $last i32)
    (call $request (i32.const 3072) (i32.const 4096))
    (local.set $at (i32.const 4096))
    (local.set $last (i32.sub (i32.add (i32.const 4096) (local.get $payload_len)) (i32.const 5)))
    (block $end
      (loop $next
        (br_if $end (i32.gt_s (local.get $at) (local.get $last)))
        (if (i32.eq (i32.load (local.get $at)) (i32.const 0x3a6f6422)) ;; "do:
          (then (return (i32.load8_u (i32.add (local.get $at) (i32.const 4))))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; An operation is recognized by the length of its name: "validate" has 8 letters,
  ;; "validate_settings" 17, "protocol_version" 16.
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (local $told i32)
    (if (i32.eq (local.get $op_len) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (i32.eq (local.get $op_len) (i32.const 16))
      (then (call $response (i32.const 512) (i32.const 4)) (return (i32.const 1))))
    (call $log (i32.const 1536) (i32.const 9))
    (local.set $told (call $told (local.get $payload_len)))
    (if (i32.eq (local.get $told) (i32.const 0x64)) ;; d
      (then (call $response (i32.const 768) (i32.const 45)) (return (i32.const 1))))
    (if (i32.eq (local.get $told) (i32.const 0x6d)) ;; m
      (then (call $response (i32.const 1024) (i32.const 53)) (return (i32.const 1))))
    (if (i32.eq (local.get $told) (i32.const 0x77)) ;; w
      (then (call $response (i32.const 1792) (i32.const 88)) (return (i32.const 1))))
    (if (i32.eq (local.get $told) (i32.const 0x65)) ;; e
      (then (call $error (i32.const 1280) (i32.const 12)) (return (i32.const 0))))
    (if (i32.eq (local.get $told) (i32.const 0x74)) ;; t
      (then (unreachable)))
    (if (i32.eq (local.get $told) (i32.const 0x73)) ;; s
      (then (loop $forever (br $forever))))
    (call $response (i32.const 0) (i32.const 17))
    (i32.const 1))
)
