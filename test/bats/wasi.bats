#!/usr/bin/env bats
# Copyright The WasmAdmission Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

policy="$BATS_TEST_DIRNAME/../policies/inherit-owner"

@test "a program mutates an object" {
  run kwctl run --request-path "$policy/testdata/pod-create.json" --settings-json '{"label":"owner"}' --allow-context-aware --replay-host-capabilities-interactions "$policy/testdata/session-shop.yml" "$policy/optimized.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*"patchType":"JSONPatch".*') -ne 0 ]
}

@test "a program denies a request" {
  run kwctl run --request-path "$policy/testdata/pod-create-orphan.json" --settings-json '{"label":"owner"}' --allow-context-aware --replay-host-capabilities-interactions "$policy/testdata/session-attic.yml" "$policy/optimized.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*neither the object nor namespace attic has label owner.*') -ne 0 ]
}

@test "the standard error of a failing program is the message" {
  run kwctl run --request-path "$policy/testdata/pod-create-gone.json" --settings-json '{"label":"owner"}' --allow-context-aware --replay-host-capabilities-interactions "$policy/testdata/session-gone.yml" "$policy/optimized.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*"message":"looking up namespace gone.*') -ne 0 ]
}

@test "a program with its execution mode" {
  run kwctl run --execution-mode wasi --request-path "$policy/testdata/pod-create-owned.json" --settings-json '{"label":"owner"}' --allow-context-aware "$policy/optimized.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*') -ne 0 ]
  [ $(expr "$output" : '.*"patch".*') -eq 0 ]
}

@test "a program is not waPC" {
  run kwctl run -e kubewarden --request-path "$policy/testdata/pod-create-owned.json" --settings-json '{"label":"owner"}' "$policy/optimized.wasm"
  echo "output = ${output}"

  [ "$status" -eq 1 ]
  [[ "$output" == *"it is not a waPC guest"* ]]
}

@test "settings that a program rejects" {
  run kwctl run --request-path "$policy/testdata/pod-create-owned.json" "$policy/optimized.wasm"
  echo "output = ${output}"

  [ "$status" -eq 1 ]
  [ $(expr "$output" : '.*Provided settings are not valid.*the name of a label is required.*') -ne 0 ]
}
