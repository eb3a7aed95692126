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

# Policies and groups from manifests, as users apply them to a cluster.

setup() {
  root="$(cd "$BATS_TEST_DIRNAME/../.." && pwd)"
  sed "s|ROOT|$root|" "$BATS_TEST_DIRNAME/testdata/policies.yaml" >"$BATS_TEST_TMPDIR/policies.yaml"
  request="$root/test/policies/pod-privileged/testdata/pod-create-privileged.json"
}

@test "each policy of a file answers, in order" {
  run kwctl run -r "$request" "$BATS_TEST_TMPDIR/policies.yaml"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 4 ]
  # in protect mode, with a custom message
  [[ "${lines[0]}" == *'"allowed":false,"status":{"message":"ask the platform team","details":{"causes":[{"message":"Privileged container'* ]]
  # in monitor mode
  [[ "${lines[1]}" == *'"allowed":true,"auditAnnotations":null'* ]]
  # a policy that may not mutate
  [[ "${lines[2]}" == *'"allowed":false'*'currently configured to not allow mutations'* ]]
  # a group
  [[ "${lines[3]}" == *'"allowed":false,"status":{"message":"neither of both","details":{"causes":[{"message":"Privileged container'*'"field":"spec.policies.privileged"'* ]]
}

@test "raw requests cannot be used with manifests" {
  run kwctl run --raw -r "$request" "$BATS_TEST_TMPDIR/policies.yaml"
  echo "output = ${output}"

  [ "$status" -ne 0 ]
  [[ "$output" == *"--raw cannot be used"* ]]
}
