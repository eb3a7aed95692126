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

policies="$BATS_TEST_DIRNAME/../policies"

# Modules in Rego do not say what they are unless they are annotated.
@test "an OPA policy refuses" {
  run kwctl run --request-path "$policies/team-label/testdata/pod-create-no-label.json" --settings-json '{"teams":{"web":"Ann"}}' -e opa "$policies/team-label/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*label team is missing.*') -ne 0 ]
}

@test "an OPA policy changes what it allows" {
  run kwctl run --request-path "$policies/team-label/testdata/pod-create.json" --settings-json '{"teams":{"web":"Ann"}}' -e opa "$policies/team-label/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*"patchType":"JSONPatch".*') -ne 0 ]
}

@test "a Gatekeeper policy sees the cluster as it was recorded" {
  run kwctl run --request-path "$policies/unique-ingress-host/testdata/ingress-create-taken.json" --allow-context-aware --replay-host-capabilities-interactions "$policies/unique-ingress-host/testdata/inventory/session.yml" -e gatekeeper "$policies/unique-ingress-host/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*host a.example.com belongs to Ingress shop/web.*') -ne 0 ]
}
