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

# Kubewarden's policies come with test files like this one. Here, kwctl is wasmctl.

policies="$BATS_TEST_DIRNAME/../policies"

@test "accept a Pod without privileged containers" {
  run kwctl run --request-path "$policies/pod-privileged/testdata/pod-create-unprivileged.json" "$policies/pod-privileged/policy.wasm"
  # prints the output if one of the checks below fails
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*allowed.*true') -ne 0 ]
  [ $(expr "$output" : '.*"patch".*') -eq 0 ]
}

@test "reject a privileged container" {
  run kwctl run -r "$policies/pod-privileged/testdata/pod-create-privileged.json" "$policies/pod-privileged/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*') -ne 0 ]
  [ $(expr "$output" : '.*Privileged container is not allowed.*') -ne 0 ]
}

@test "settings as JSON" {
  run kwctl run -r "$policies/pod-privileged/testdata/pod-create-privileged-init.json" --settings-json '{"skip_init_containers": true}' "$policies/pod-privileged/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*') -ne 0 ]
}

@test "settings from a file in YAML" {
  run kwctl run -r "$policies/allowed-registries/testdata/pod-create-docker-hub.json" --settings-path "$BATS_TEST_DIRNAME/testdata/settings.yml" "$policies/allowed-registries/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*') -ne 0 ]
}

@test "settings that the policy rejects" {
  run kwctl run -r "$policies/allowed-registries/testdata/pod-create-docker-hub.json" --settings-json '{"registries": []}' "$policies/allowed-registries/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 1 ]
  [ $(expr "$output" : '.*allowed.*') -eq 0 ]
  [ $(expr "$output" : '.*Provided settings are not valid.*a list of at least one registry is required.*') -ne 0 ]
}

@test "settings that the policy cannot read" {
  run kwctl run -r "$policies/pod-privileged/testdata/pod-delete.json" --settings-json '{"skip": 1}' "$policies/pod-privileged/policy.wasm"
  echo "output = ${output}"

  [ "$status" -ne 0 ]
  [[ "$output" == *"Provided settings are not valid"*"unknown field"* ]]
}

@test "mutate a Pod" {
  run kwctl run -r "$policies/always-pull/testdata/pod-create.json" "$policies/always-pull/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*allowed.*true') -ne 0 ]
  [ $(expr "$output" : '.*patch.*JSONPatch.*') -ne 0 ]
}

@test "decode the patch" {
  command -v jq || skip "jq is not installed"
  run bash -c "kwctl run -r '$policies/always-pull/testdata/pod-create.json' '$policies/always-pull/policy.wasm' 2>/dev/null | jq -r '.patch | @base64d | fromjson | .[0].path'"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ "$output" = "/spec/containers/0/imagePullPolicy" ]
}

@test "a policy that changes nothing sends no patch" {
  run kwctl run -r "$policies/always-pull/testdata/pod-create-always.json" "$policies/always-pull/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"patch".*') -eq 0 ]
}

@test "an AdmissionReview on the standard input" {
  run bash -c "kwctl run -r - '$policies/pod-privileged/policy.wasm' <'$BATS_TEST_DIRNAME/testdata/review.json'"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '{"uid":"1299d386-525b-4032-98ae-1949f69f9cfc","allowed":true,') -ne 0 ]
}

@test "a raw request" {
  run kwctl run --raw -r "$BATS_TEST_DIRNAME/testdata/raw.json" --settings-json '{"accepted": true, "mutated_object": {"user": "tonio", "resource": "hay"}}' "$BATS_TEST_DIRNAME/../wat/answer.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*') -ne 0 ]
  [ $(expr "$output" : '.*"patchType":"JSONPatch".*') -ne 0 ]
}

@test "both spellings of the execution mode" {
  for mode in kubewarden kubewarden-wapc; do
    run kwctl run -e "$mode" -r "$policies/pod-privileged/testdata/pod-delete.json" "$policies/pod-privileged/policy.wasm"
    echo "output = ${output}"
    [ "$status" -eq 0 ]
  done
  run kwctl run -e wapc -r "$policies/pod-privileged/testdata/pod-delete.json" "$policies/pod-privileged/policy.wasm"
  [ "$status" -ne 0 ]
  [[ "$output" == *'Unknown policy execution mode "wapc"'* ]]
}

@test "a guest that traps" {
  run kwctl run -r "$policies/pod-privileged/testdata/pod-delete.json" "$BATS_TEST_DIRNAME/../wat/trap.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*internal server error: Guest call failure.*"code":500.*') -ne 0 ]
}

@test "a guest that never ends" {
  run kwctl run --timeout 100ms -r "$policies/pod-privileged/testdata/pod-delete.json" "$BATS_TEST_DIRNAME/../wat/spin.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*Policy execution interrupted because it exceeded the allowed execution time.*') -ne 0 ]
}

@test "missing files and arguments" {
  run kwctl run -r /none.json "$policies/pod-privileged/policy.wasm"
  [ "$status" -eq 1 ]
  run kwctl run -r "$policies/pod-privileged/testdata/pod-delete.json" /none.wasm
  [ "$status" -eq 1 ]
  [[ "$output" == *"there is no file /none.wasm"* ]]
  run kwctl run "$policies/pod-privileged/policy.wasm"
  [ "$status" -eq 2 ]
  run kwctl run --nonsense "$policies/pod-privileged/policy.wasm"
  [ "$status" -eq 2 ]
}

@test "settings from a file, with the short flag" {
  run kwctl run -r "$policies/allowed-registries/testdata/pod-create-docker-hub.json" -s "$BATS_TEST_DIRNAME/testdata/settings.yml" "$policies/allowed-registries/policy.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*') -ne 0 ]
}

@test "settings from two sources" {
  run kwctl run -r "$policies/allowed-registries/testdata/pod-create-docker-hub.json" -s "$BATS_TEST_DIRNAME/testdata/settings.yml" --settings-json '{}' "$policies/allowed-registries/policy.wasm"
  echo "output = ${output}"

  [ "$status" -ne 0 ]
  [ $(expr "$output" : '.*allowed".*') -eq 0 ]
}

@test "an unsigned policy does not run if it must be verified" {
  for flags in "-k cosign.pub" "-a env=prod" "--verification-key=cosign.pub" "--verification-config-path config.yml" "--cert-email a@example.com" "--cert-oidc-issuer i" "--github-owner o" "--github-repo r" "--sigstore-trust-config t"; do
    HTTPS_PROXY=http://127.0.0.1:9 run kwctl run -r "$policies/pod-privileged/testdata/pod-delete.json" $flags "$policies/pod-privileged/policy.wasm"
    echo "output = ${output}"
    [ "$status" -eq 1 ]
    [ $(expr "$output" : '.*"allowed".*') -eq 0 ]
  done
}

@test "flags that do not change the response" {
  for flags in "--disable-wasmtime-cache" "--no-color" "-v" "--verbose"; do
    run kwctl run $flags -r "$policies/pod-privileged/testdata/pod-create-privileged.json" "$policies/pod-privileged/policy.wasm"
    echo "output = ${output}"
    [ "$status" -eq 0 ]
    [ $(expr "$output" : '.*"allowed":false.*') -ne 0 ]
  done
  run kwctl --no-color -v run "$policies/pod-privileged/policy.wasm" -r "$policies/pod-privileged/testdata/pod-create-privileged.json"
  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*') -ne 0 ]
}

@test "the policy's log is not in the response" {
  run bash -c "kwctl run -v -r '$policies/pod-privileged/testdata/pod-create-privileged.json' '$policies/pod-privileged/policy.wasm' 2>/dev/null"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 1 ]
  [ $(expr "$output" : '{"uid":"[^"]*","allowed":false,"status":{"message":"Privileged container.*"},"auditAnnotations":null,"warnings":null}$') -ne 0 ]
}

@test "registries are accessed as the files configure" {
  echo '{"credsStore": "desktop"}' >"$BATS_TEST_TMPDIR/config.json"
  run kwctl run --docker-config-json-path "$BATS_TEST_TMPDIR" -r "$policies/pod-privileged/testdata/pod-delete.json" registry://localhost:1/policy:v1
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"names credential helpers"* ]]

  echo 'insecure_sources: 1' >"$BATS_TEST_TMPDIR/sources.yml"
  run kwctl run --sources-path "$BATS_TEST_TMPDIR/sources.yml" -r "$policies/pod-privileged/testdata/pod-delete.json" registry://localhost:1/policy:v1
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"is not a Kubewarden sources.yml"* ]]
}

@test "a message of several lines" {
  run kwctl run -r "$policies/pod-privileged/testdata/pod-delete.json" --settings-json '{"accepted": false, "message": "first\nsecond"}' "$BATS_TEST_DIRNAME/../wat/answer.wasm"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 1 ]
  [ $(expr "$output" : '.*"allowed":false.*first\\nsecond.*') -ne 0 ]
}

@test "bench" {
  run kwctl bench --warm-up-time 1 --measurement-time 1 --num-resamples 2 --num-samples 2 \
    --request-path "$policies/pod-privileged/testdata/pod-create-privileged.json" "$policies/pod-privileged/policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *"validate warming up for"*"time:"* ]]
}
