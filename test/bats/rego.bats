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

# Rego modules do not declare their execution mode unless they are annotated.
@test "an OPA policy denies a request" {
  run kwctl run --request-path "$policies/team-label/testdata/pod-create-no-label.json" --settings-json '{"teams":{"web":"Ann"}}' -e opa "$policies/team-label/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*label team is missing.*') -ne 0 ]
}

@test "an OPA policy mutates an object" {
  run kwctl run --request-path "$policies/team-label/testdata/pod-create.json" --settings-json '{"teams":{"web":"Ann"}}' -e opa "$policies/team-label/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*"patchType":"JSONPatch".*') -ne 0 ]
}

@test "a Gatekeeper policy sees the recorded cluster" {
  run kwctl run --request-path "$policies/unique-ingress-host/testdata/ingress-create-taken.json" --allow-context-aware --replay-host-capabilities-interactions "$policies/unique-ingress-host/testdata/inventory/session.yml" -e gatekeeper "$policies/unique-ingress-host/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*host a.example.com belongs to Ingress shop/web.*') -ne 0 ]
}

@test "a Rego module without annotations" {
  run kwctl run --request-path "$policies/team-label/testdata/pod-create.json" "$BATS_TEST_DIRNAME/../../pkg/abi/rego/testdata/guest.wasm"
  echo "output = ${output}"

  [ "$status" -eq 1 ]
  [ $(expr "$output" : '.*The policy has been created with Rego, please specify which Opa runtime has to be used.*') -ne 0 ]
  [ $(expr "$output" : '.*allowed.*') -eq 0 ]
}

@test "the patch of an OPA policy is sent unchanged" {
  command -v jq || skip "jq is not installed"
  run bash -c "kwctl run --request-path '$policies/team-label/testdata/pod-create.json' --settings-json '{\"teams\":{\"web\":\"Ann\"}}' '$policies/team-label/policy.wasm' 2>/dev/null | jq -r '.patch | @base64d'"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ "$output" = '[{"op":"add","path":"/metadata/annotations","value":{}},{"op":"add","path":"/metadata/annotations/example.com~1owner","value":"Ann"}]' ]
}

@test "a raw request to an OPA policy" {
  run kwctl run --raw --request-path "$policies/team-label/testdata/pod-create-no-label.json" --settings-json '{"teams":{"web":"Ann"}}' -e opa "$policies/team-label/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*label team is missing.*') -ne 0 ]
}

@test "a raw request to a Gatekeeper policy" {
  run kwctl run --raw --request-path "$BATS_TEST_DIRNAME/testdata/raw.json" --allow-context-aware -e gatekeeper "$policies/unique-ingress-host/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*Gatekeeper does not support raw validation requests.*"code":500.*') -ne 0 ]
}

@test "a Gatekeeper policy that accepts" {
  run kwctl run --request-path "$policies/unique-ingress-host/testdata/ingress-create.json" --allow-context-aware --replay-host-capabilities-interactions "$policies/unique-ingress-host/testdata/inventory/session.yml" --execution-mode gatekeeper "$policies/unique-ingress-host/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*') -ne 0 ]
  [ $(expr "$output" : '.*"patch".*') -eq 0 ]
}

@test "a Gatekeeper policy without --allow-context-aware sees nothing" {
  run kwctl run --request-path "$policies/unique-ingress-host/testdata/ingress-create-taken.json" "$policies/unique-ingress-host/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*') -ne 0 ]
  [[ "$output" == *"Warning"*"--allow-context-aware"* ]]
}
