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

# Other commands for authors of policies.

policies="$BATS_TEST_DIRNAME/../policies"

@test "annotate and inspect" {
  run kwctl annotate -m "$policies/no-latest-tag/metadata.yml" -o "$BATS_TEST_TMPDIR/annotated-policy.wasm" "$policies/no-latest-tag/policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  cmp "$BATS_TEST_TMPDIR/annotated-policy.wasm" "$policies/no-latest-tag/policy.wasm"

  run kwctl inspect -o yaml "$BATS_TEST_TMPDIR/annotated-policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [ $(expr "$output" : 'annotations:.*io.kubewarden.policy.title: no-latest-tag') -ne 0 ]
}

@test "metadata that must not be published" {
  echo 'mutating: false' >"$BATS_TEST_TMPDIR/metadata.yml"
  run kwctl annotate -m "$BATS_TEST_TMPDIR/metadata.yml" -o "$BATS_TEST_TMPDIR/policy.wasm" "$policies/no-latest-tag/policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"rules: required field is missing"* ]]
  [ ! -e "$BATS_TEST_TMPDIR/policy.wasm" ]
}

@test "run test cases" {
  run kwctl test "$policies/no-latest-tag" "$policies/always-pull"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *" cases, 0 failed"* ]]
}

@test "completion" {
  for shell in bash zsh fish powershell; do
    run kwctl completion "$shell"
    [ "$status" -eq 0 ]
    [[ "$output" == *kwctl* ]]
  done
}

@test "bash completion completes values of flags" {
  run bash -c 'source <(kwctl completion bash) && complete -p kwctl'
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *"__start_kwctl kwctl"* ]]

  run kwctl __complete run --execution-mode ''
  [ "$status" -eq 0 ]
  [[ "$output" == gatekeeper* ]]
}

@test "completion with kwctl's flags" {
  run bash -c 'source <(kwctl completions -s bash) && complete -p kwctl'
  [ "$status" -eq 0 ]
  run kwctl completions -s csh
  [ "$status" -eq 2 ]
}

@test "inspect a policy in Rego" {
  run kwctl inspect "$policies/team-label/policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *"Open Policy Agent's ABI 1.3"* ]]
  [[ "$output" == *policy/main* ]]
  [[ "$output" == *sprintf* ]]
}

@test "annotate a policy in Rego with the wrong execution mode" {
  printf 'executionMode: kubewarden-wapc\nmutating: false\nrules: []\n' >"$BATS_TEST_TMPDIR/metadata.yml"
  run kwctl annotate -m "$BATS_TEST_TMPDIR/metadata.yml" -o "$BATS_TEST_TMPDIR/policy.wasm" "$policies/team-label/policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"Wrong value inside of policy's metadata for 'executionMode'. This policy has been created using Rego"* ]]
}

@test "test cases as JUnit XML" {
  run kwctl test -o junit "$policies/no-latest-tag"
  [ "$status" -eq 0 ]
  [[ "$output" == "<?xml "*'failures="0" errors="0"'*"</testsuites>" ]]
}

@test "inspect shows that a module has no signatures" {
  run kwctl inspect --show-signatures "$policies/no-latest-tag/policy.wasm"
  [ "$status" -eq 0 ]
  [[ "$output" == *"No sigstore signatures found"* ]]
}

@test "misspelled field names in metadata" {
  sed 's/^contextAwareResources:/contextAwareResource:/' "$BATS_TEST_DIRNAME/testdata/metadata.yml" >"$BATS_TEST_TMPDIR/metadata.yml"
  run kwctl annotate -m "$BATS_TEST_TMPDIR/metadata.yml" -o "$BATS_TEST_TMPDIR/policy.wasm" "$policies/no-latest-tag/policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *"contextAwareResource: no host reads a field of this name: did you mean contextAwareResources?"* ]]
}

@test "docs" {
  run kwctl docs -o "$BATS_TEST_TMPDIR/kwctl.md"
  [ "$status" -eq 0 ]
  grep -q '^## kwctl scaffold vap$' "$BATS_TEST_TMPDIR/kwctl.md"
}

@test "completions" {
  run kwctl completions --shell zsh
  [ "$status" -eq 0 ]
  run kwctl completions --shell elvish
  [ "$status" -eq 2 ]
}
