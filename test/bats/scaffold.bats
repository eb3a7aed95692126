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

# Scaffolding for new policies.

policies="$BATS_TEST_DIRNAME/../policies"
vap="$BATS_TEST_DIRNAME/testdata/vap.yaml"

setup() {
  export XDG_CONFIG_HOME="$BATS_TEST_TMPDIR/config" KUBECONFIG="$BATS_TEST_TMPDIR/none"
}

@test "scaffold manifest" {
  run kwctl scaffold manifest --settings-json '{"registries": ["foo", "bar"]}' -t ClusterAdmissionPolicy "$policies/allowed-registries/policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *"kind: ClusterAdmissionPolicy"*"allowed-registries/policy.wasm"*"registries:"*"foo"*"bar"* ]]
}

@test "scaffold manifest of an unknown type" {
  run kwctl scaffold manifest -t Policy "$policies/pod-privileged/policy.wasm"
  [ "$status" -eq 2 ]
}

@test "scaffold manifest with an invalid title" {
  run kwctl scaffold manifest -t AdmissionPolicy --title 'Pod Privileged' "$policies/pod-privileged/policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"Invalid title 'Pod Privileged'. Must conform to RFC 1123"* ]]
}

@test "scaffold vap with the latest CEL policy" {
  run kwctl scaffold vap --policy "$vap" --binding "$vap" --cel-policy registry.example.com/cel-policy
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *"Using the 'latest' version of the CEL policy"*"module: registry.example.com/cel-policy"* ]]
}

@test "scaffold vap with a version of the CEL policy" {
  run kwctl scaffold vap --policy "$vap" --binding "$vap" --cel-policy ghcr.io/kubewarden/policies/cel-policy:1.0.0
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == "apiVersion: policies.kubewarden.io/v1"*"module: ghcr.io/kubewarden/policies/cel-policy:1.0.0"* ]]
}

@test "scaffold vap without a binding" {
  run kwctl scaffold vap --policy "$vap"
  [ "$status" -eq 2 ]
}

@test "scaffold admission-request and run it" {
  cat >"$BATS_TEST_TMPDIR/pod.yaml" <<END
apiVersion: v1
kind: Pod
metadata: {name: nginx}
spec: {containers: [{name: nginx, image: nginx, securityContext: {privileged: true}}]}
END
  kwctl scaffold admission-request -o CREATE --object "$BATS_TEST_TMPDIR/pod.yaml" >"$BATS_TEST_TMPDIR/request.json"
  run kwctl run -r "$BATS_TEST_TMPDIR/request.json" "$policies/pod-privileged/policy.wasm"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [ $(expr "$output" : '.*"allowed":false.*') -ne 0 ]
}

@test "scaffold artifacthub" {
  cd "$BATS_TEST_TMPDIR"
  cat >metadata.yml <<END
mutating: false
rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
annotations:
  io.kubewarden.policy.title: pods
  io.kubewarden.policy.version: 0.1.0
  io.kubewarden.policy.description: no pods
  io.kubewarden.policy.ociUrl: ghcr.io/kubewarden/policies/pods
  io.artifacthub.displayName: Pods
END
  run kwctl scaffold artifacthub
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *"kwctl scaffold artifacthub > artifacthub-pkg.yml"*"version: 0.1.0"*"image: ghcr.io/kubewarden/policies/pods:v0.1.0"* ]]
}

@test "scaffold verification-config" {
  run kwctl scaffold verification-config
  [ "$status" -eq 0 ]
  [[ "$output" == *"kind: githubAction"* ]]
}
