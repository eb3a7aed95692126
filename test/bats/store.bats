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

# Commands for registries and for the store of policies. $REGISTRY is a registry without
# TLS.

setup() {
  export XDG_CACHE_HOME="$BATS_TEST_TMPDIR/cache" XDG_CONFIG_HOME="$BATS_TEST_TMPDIR/config"
  mkdir -p "$XDG_CONFIG_HOME/kubewarden"
  echo "insecure_sources: ['$REGISTRY']" >"$XDG_CONFIG_HOME/kubewarden/sources.yaml"
  policies="$BATS_TEST_DIRNAME/../policies"
  request="$policies/pod-privileged/testdata/pod-create-privileged.json"
  privileged="registry://$REGISTRY/bats/pod-privileged:v1"
  pull="registry://$REGISTRY/bats/always-pull:v1"
}

# publish leaves both policies in the registry, and none in the store.
publish() {
  kwctl push "$policies/pod-privileged/policy.wasm" "$privileged"
  kwctl push "$policies/always-pull/policy.wasm" "$pull"
}

sha() { sha256sum "$policies/pod-privileged/policy.wasm" | cut -c1-12; }

@test "list policies when no policies are pulled" {
  run kwctl policies
  [ "$status" -eq 0 ]
  [ "$output" = "" ]
}

@test "pull a policy from a registry" {
  publish
  run kwctl pull "$privileged"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  run kwctl policies
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *"$privileged"*" no "*" no "*"$(sha)"*"kB"* ]]
  cmp "$XDG_CACHE_HOME/kubewarden/store/registry/$REGISTRY/bats/pod-privileged:v1" "$policies/pod-privileged/policy.wasm"
}

@test "pull a policy without a tag" {
  kwctl push "$policies/pod-privileged/policy.wasm" "$REGISTRY/bats/untagged"
  run kwctl pull "registry://$REGISTRY/bats/untagged"
  [ "$status" -eq 0 ]
  run kwctl policies
  [[ "$output" == *"registry://$REGISTRY/bats/untagged:latest"* ]]
}

@test "pull a policy to a file" {
  publish
  run kwctl pull -o "$BATS_TEST_TMPDIR/my-policy.wasm" "$privileged"
  [ "$status" -eq 0 ]
  cmp "$BATS_TEST_TMPDIR/my-policy.wasm" "$policies/pod-privileged/policy.wasm"
  run kwctl policies
  [ "$output" = "" ]
}

@test "pull a policy that does not exist" {
  run kwctl pull "registry://$REGISTRY/bats/none:v1"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [ "${#lines[@]}" -eq 1 ]
}

@test "run a policy from the store by its URI and by its digest" {
  publish
  kwctl pull "$privileged"
  rm -r "$XDG_CONFIG_HOME" # no registry can be reached without the sources
  for policy in "$privileged" "$(sha)"; do
    run kwctl run -r "$request" "$policy"
    echo "output = ${output}"
    [ "$status" -eq 0 ]
    [ $(expr "$output" : '.*"allowed":false.*') -ne 0 ]
  done
}

@test "push a policy as text and as JSON" {
  run kwctl push "$policies/pod-privileged/policy.wasm" "$privileged"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" =~ ^"Policy successfully pushed: $REGISTRY/bats/pod-privileged@sha256:"[0-9a-f]{64}$ ]]
  text="${output##*: }"
  run bash -c "kwctl push --output json '$policies/pod-privileged/policy.wasm' '$privileged' | jq -r .immutable_ref"
  [ "$output" = "$text" ]
}

@test "push a policy from the store" {
  publish
  kwctl pull "$privileged"
  run kwctl push "$privileged" "registry://$REGISTRY/bats/copy:v1"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  run kwctl push "$pull" "registry://$REGISTRY/bats/copy:v1"
  [ "$status" -eq 1 ]
  [[ "$output" == *"Cannot find policy '$pull' inside of the local store"* ]]
}

@test "push a policy that is not annotated" {
  printf '\0asm\1\0\0\0' >"$BATS_TEST_TMPDIR/policy.wasm"
  run kwctl push "$BATS_TEST_TMPDIR/policy.wasm" "$REGISTRY/bats/bare:v1"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  run kwctl push --force "$BATS_TEST_TMPDIR/policy.wasm" "$REGISTRY/bats/bare:v1"
  [ "$status" -eq 0 ]
}

@test "digest" {
  run kwctl push "$policies/pod-privileged/policy.wasm" "$privileged"
  digest="${output##*@}"
  run kwctl digest "$privileged"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [ "$output" = "$privileged@$digest" ]
  run kwctl digest "$REGISTRY/bats/pod-privileged:v1"
  [ "$output" = "$REGISTRY/bats/pod-privileged:v1@$digest" ]
}

@test "remove policies" {
  publish
  kwctl pull "$privileged"
  kwctl pull "$pull"
  run kwctl rm "$pull"
  [ "$status" -eq 0 ]
  [ "$output" = "" ]
  run kwctl rm "$(sha)"
  [ "$status" -eq 0 ]
  run kwctl policies
  [ "$output" = "" ]
  run kwctl rm non-existing
  [ "$status" -eq 1 ]
  [[ "$output" == *"Cannot find policy"* ]]
}

@test "save and load" {
  publish
  kwctl pull "$privileged"
  kwctl pull "$pull"
  run kwctl save --output "$BATS_TEST_TMPDIR/policies.tar.gz" "$privileged" "$pull"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  run tar tzf "$BATS_TEST_TMPDIR/policies.tar.gz"
  [ "${lines[0]}" = "registry/$REGISTRY/bats/pod-privileged:v1" ]
  kwctl rm "$privileged"
  kwctl rm "$pull"

  run kwctl load --input "$BATS_TEST_TMPDIR/policies.tar.gz"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  run kwctl policies
  [[ "$output" == *"$pull"*"$privileged"* ]]
}

@test "load an archive of something else" {
  tar czf "$BATS_TEST_TMPDIR/policies.tar.gz" -C "$policies" pod-privileged/policy.wasm
  run kwctl load --input "$BATS_TEST_TMPDIR/policies.tar.gz"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [ ! -e "$XDG_CACHE_HOME/kubewarden" ]
}

@test "info" {
  run kwctl info
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == "kwctl version:"* ]]
  [[ "$output" == *"$XDG_CACHE_HOME/kubewarden/store"* ]]
}

@test "missing arguments" {
  for arguments in pull push "push policy.wasm" digest rm save "save a" load; do
    run kwctl $arguments
    echo "output = ${output}"
    [ "$status" -eq 2 ]
    [[ "$output" == *"is missing"* || "$output" == *"is required"* ]]
  done
}
