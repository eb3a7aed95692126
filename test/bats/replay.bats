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

# Policies that read the cluster run with recorded sessions.

setup() {
  policy="$BATS_TEST_TMPDIR/annotated-policy.wasm"
  request="$BATS_TEST_DIRNAME/../policies/pod-privileged/testdata/pod-delete.json"
  kwctl annotate -m "$BATS_TEST_DIRNAME/testdata/metadata.yml" -o "$policy" "$BATS_TEST_DIRNAME/../wat/host-call.wasm"
}

@test "a recorded cluster" {
  run kwctl run --allow-context-aware -r "$request" --replay-host-capabilities-interactions "$BATS_TEST_DIRNAME/testdata/session.yml" "$policy"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*') -ne 0 ]
  [[ "$output" != *Warning* ]]
}

@test "a recorded error" {
  run kwctl run --allow-context-aware -r "$request" --replay-host-capabilities-interactions "$BATS_TEST_DIRNAME/testdata/error.yml" "$policy"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*') -ne 0 ]
  [ $(expr "$output" : '.*Cannot find v1/Namespace.*') -ne 0 ]
}

@test "without --allow-context-aware the policy can read nothing" {
  run kwctl run -r "$request" --replay-host-capabilities-interactions "$BATS_TEST_DIRNAME/testdata/session.yml" "$policy"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*has not been granted access to Kubernetes v1/Namespace resources.*') -ne 0 ]
  [[ "$output" == *"Warning"*"1 of the recorded exchanges were not asked for"* ]]
}

@test "a host capability that was not granted" {
  run kwctl run --allow-context-aware --allowed-host-capabilities 'oci/*' -r "$request" --replay-host-capabilities-interactions "$BATS_TEST_DIRNAME/testdata/session.yml" "$policy"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [[ "$output" == *"has not been granted access to the 'kubernetes/get_resource' host capability"* ]]
}

@test "a session for another policy" {
  run kwctl run --allow-context-aware -r "$request" --replay-host-capabilities-interactions "$BATS_TEST_DIRNAME/testdata/other.yml" "$policy"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*Replay error.*') -ne 0 ]
}

@test "an invalid session" {
  run kwctl run --allow-context-aware -r "$request" --replay-host-capabilities-interactions "$request" "$policy"
  echo "output = ${output}"

  [ "$status" -eq 1 ]
}

@test "record a session and replay it" {
  KUBECONFIG=/none run kwctl run --allow-context-aware -r "$request" --record-host-capabilities-interactions "$BATS_TEST_TMPDIR/session.yml" "$policy"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*there is no usable kubeconfig.*') -ne 0 ]
  recorded="$output"

  run kwctl run --allow-context-aware -r "$request" --replay-host-capabilities-interactions "$BATS_TEST_TMPDIR/session.yml" "$policy"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [ "$output" = "$recorded" ]
}

@test "a session cannot be recorded and replayed at once" {
  run kwctl run --allow-context-aware -r "$request" --record-host-capabilities-interactions "$BATS_TEST_TMPDIR/session.yml" --replay-host-capabilities-interactions "$BATS_TEST_DIRNAME/testdata/session.yml" "$policy"
  [ "$status" -eq 2 ]
  [ ! -e "$BATS_TEST_TMPDIR/session.yml" ]
}

@test "several allowed host capabilities" {
  run kwctl run --allow-context-aware --allowed-host-capabilities 'oci/*' --allowed-host-capabilities kubernetes/get_resource -r "$request" --replay-host-capabilities-interactions "$BATS_TEST_DIRNAME/testdata/session.yml" "$policy"
  echo "output = ${output}"

  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":true.*') -ne 0 ]
}
