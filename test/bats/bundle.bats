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


# Bundles of policies for air-gapped clusters. $REGISTRY is a registry without TLS that has the
# policies bats/old, bats/bundled and bats/keyless. $SIGNED is a directory with the keys and the
# trust root that they were signed with.

setup() {
  export XDG_CACHE_HOME="$BATS_TEST_TMPDIR/cache" XDG_CONFIG_HOME="$BATS_TEST_TMPDIR/config"
  mkdir -p "$XDG_CONFIG_HOME/kubewarden"
  echo "insecure_sources: ['$REGISTRY']" >"$XDG_CONFIG_HOME/kubewarden/sources.yaml"
  old="registry://$REGISTRY/bats/old:v1"
  bundled="registry://$REGISTRY/bats/bundled:v1"
  bundle="$BATS_TEST_TMPDIR/policies.tar"
}

@test "bundle policies with their signatures, and verify them from the bundle" {
  run kwctl bundle -o "$bundle" "$old" "$bundled"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [ -f "$bundle" ]
  run kwctl bundle --verify "$bundle" "$old" "$bundled"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  for uri in "$old" "$bundled"; do
    run kwctl verify -k "$SIGNED/cosign.pub" "oci-layout://$bundle:${uri#registry://}"
    echo "output = ${output}"
    [ "$status" -eq 0 ]
  done
}

@test "a bundle has only what was bundled, and its digests are checked" {
  kwctl bundle -o "$bundle" "$old"
  run kwctl bundle --verify "$bundle" "$bundled"
  [ "$status" -eq 1 ]
  [[ "$output" == *"bats/bundled:v1: layout"* ]]
  printf 'X' | dd of="$bundle" bs=1 seek=$(($(stat -c %s "$bundle") / 2)) conv=notrunc 2>/dev/null
  run kwctl bundle --verify "$bundle" "$old"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
}

@test "bundle needs policies and an output" {
  run kwctl bundle
  [ "$status" -eq 2 ]
  run kwctl bundle -o "$bundle" file:///policy.wasm
  [ "$status" -eq 1 ]
  [ ! -e "$bundle" ]
}
