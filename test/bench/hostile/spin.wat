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

;; Counts down from a given number. A runtime without metering cannot interrupt this loop.
(module
  (func (export "spin") (param $turns i64)
    (loop $next
      (br_if $next (i64.ne (local.tee $turns (i64.sub (local.get $turns) (i64.const 1))) (i64.const 0))))))
