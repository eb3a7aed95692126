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

# Policies that must be signed. $REGISTRY is a registry without TLS that has the policies
# bats/old, bats/bundled and bats/keyless. $SIGNED is a directory with the keys and the trust
# root that they were signed with.

setup() {
  export XDG_CACHE_HOME="$BATS_TEST_TMPDIR/cache" XDG_CONFIG_HOME="$BATS_TEST_TMPDIR/config"
  config="$XDG_CONFIG_HOME/kubewarden"
  mkdir -p "$config"
  echo "insecure_sources: ['$REGISTRY']" >"$config/sources.yaml"
  policies="$BATS_TEST_DIRNAME/../policies"
  request="$policies/pod-privileged/testdata/pod-create-privileged.json"
  old="registry://$REGISTRY/bats/old:v1"
  bundled="registry://$REGISTRY/bats/bundled:v1"
  keyless="registry://$REGISTRY/bats/keyless:v1"
  identity=(--sigstore-trust-config "$SIGNED/trust_config.json" --cert-oidc-issuer https://issuer.example.com)
}

# write_config writes a verification config that requires a signature by the key.
write_config() {
  printf 'apiVersion: v1\nallOf:\n- kind: pubKey\n  key: |\n' >"$1"
  sed 's/^/    /' "$SIGNED/cosign.pub" >>"$1"
}

@test "verify, pull and run accept the verification flags" {
  for command in verify pull run; do
    run kwctl "$command" --help
    for flag in verification-key verification-annotation cert-email cert-oidc-issuer github-owner github-repo \
      verification-config-path sigstore-trust-config docker-config-json-path sources-path; do
      [[ "$output" == *"--$flag"* ]]
    done
  done
}

@test "verify a policy by a key, in both formats" {
  for uri in "$old" "$bundled"; do
    run kwctl verify -k "$SIGNED/cosign.pub" -a env=prod "$uri"
    echo "output = ${output}"
    [ "$status" -eq 0 ]
    [[ "$output" == *"Policy successfully verified"* ]]
    run kwctl verify -k "$SIGNED/foreign.pub" "$uri"
    [ "$status" -eq 1 ]
    [[ "$output" == *"Image verification failed: missing signatures"* ]]
    run kwctl verify -k "$SIGNED/cosign.pub" -a env=prod -a stable=true "$uri"
    [ "$status" -eq 1 ]
    [[ "$output" == *"Image verification failed: missing signatures"* ]]
    [ "${#lines[@]}" -eq 1 ]
  done
}

@test "verify explains wrong flags" {
  run kwctl verify -a env=prod "$old"
  [ "$status" -eq 1 ]
  [[ "$output" == *"Intending to verify annotations, but no verification keys, OIDC issuer or GitHub owner were passed"* ]]
  run kwctl verify -k "$SIGNED/cosign.pub" -k none.pub "$old"
  [ "$status" -eq 1 ]
  [[ "$output" == *"no such file or directory"* ]]
  run kwctl verify "$old"
  [ "$status" -eq 1 ]
  [[ "$output" == *"could not retrieve sigstore options"* ]]
  run wasmctl verify "$old"
  [ "$status" -eq 2 ]
  run kwctl verify -k "$SIGNED/cosign.pub" --verification-config-path any.yml "$old"
  [ "$status" -eq 1 ]
  [[ "$output" == *"verification-config-path cannot be used in conjunction with other verification flags"* ]]
}

@test "verify a policy by an identity with a custom trust root" {
  run kwctl verify "${identity[@]}" --cert-email ann@example.com "$keyless"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  run kwctl verify "${identity[@]}" --cert-email bob@example.com "$keyless"
  [ "$status" -eq 1 ]
  run kwctl verify --sigstore-trust-config "$SIGNED/trust_config.json" --github-owner kubewarden "$keyless"
  [ "$status" -eq 1 ]
}

@test "without a network, a copy of the public trust root is used, with a warning" {
  HTTPS_PROXY=http://127.0.0.1:9 run kwctl verify --github-owner kubewarden "$keyless"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"Warning: the trust root cannot be fetched"*"certificates are verified with the trust root of 20"* ]]
  [[ "$output" == *"Image verification failed: missing signatures"* ]]
}

@test "pull writes only what is verified" {
  run kwctl pull -k "$SIGNED/foreign.pub" "$old"
  [ "$status" -eq 1 ]
  run kwctl policies
  [ "$output" = "" ]
  run kwctl pull -k "$SIGNED/cosign.pub" -a env=prod "$old"
  [ "$status" -eq 0 ]
  [[ "$output" == *"Policy successfully verified"* ]]
  run kwctl policies
  [[ "$output" == *"$old"* ]]
}

@test "run a signed policy" {
  run kwctl run -k "$SIGNED/cosign.pub" -a env=prod -r "$request" "$old"
  echo "output = ${output}"
  [ "$status" -eq 0 ]
  [[ "$output" == *"Policy successfully verified"* ]]
  [[ "$output" == *'"allowed":false'* ]]
  run kwctl run -k "$SIGNED/cosign.pub" -k "$SIGNED/foreign.pub" -r "$request" "$old"
  [ "$status" -eq 1 ]
  [[ "$output" == *"Image verification failed: missing signatures"* ]]
  [[ "$output" != *allowed* ]]
}

@test "a policy from the store is verified too" {
  kwctl pull "$old"
  sha="$(sha256sum "$SIGNED/policy.wasm" | cut -c1-12)"
  run kwctl run -k "$SIGNED/cosign.pub" -r "$request" "$sha"
  [ "$status" -eq 0 ]
  run kwctl run -k "$SIGNED/foreign.pub" -r "$request" "$sha"
  [ "$status" -eq 1 ]
  printf '\0\1\0' >>"$XDG_CACHE_HOME/kubewarden/store/registry/$REGISTRY/bats/old:v1"
  run kwctl run -k "$SIGNED/cosign.pub" -r "$request" "$old"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"the store of policies differs from the source"* ]]
}

@test "a file is verified with the bundle beside it" {
  run kwctl verify -k "$SIGNED/cosign.pub" "$SIGNED/policy.wasm"
  [ "$status" -eq 0 ]
  run kwctl run -k "$SIGNED/cosign.pub" -r "$request" "$SIGNED/policy.wasm"
  [ "$status" -eq 0 ]
  run kwctl run -k "$SIGNED/cosign.pub" -r "$request" "$policies/pod-privileged/policy.wasm"
  [ "$status" -eq 1 ]
  [[ "$output" == *"looked for policy.wasm.sigstore.json"* ]]
}

@test "a verification config is used from the flag and from the default location" {
  write_config "$BATS_TEST_TMPDIR/config.yml"
  run kwctl verify --verification-config-path "$BATS_TEST_TMPDIR/config.yml" "$bundled"
  [ "$status" -eq 0 ]
  write_config "$config/verification-config.yml"
  run kwctl run -r "$request" "$bundled"
  [ "$status" -eq 0 ]
  [[ "$output" == *"Default verification config present"* ]]
  run kwctl run -r "$request" "$keyless"
  [ "$status" -eq 1 ]
}

@test "scaffold a verification config at the default location" {
  kwctl scaffold verification-config >"$config/verification-config.yml"
  HTTPS_PROXY=http://127.0.0.1:9 run kwctl pull "$old"
  echo "output = ${output}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"githubAction kubewarden"* ]]
}

@test "show signatures" {
  for uri in "$old" "$bundled"; do
    run kwctl inspect --show-signatures "$uri"
    echo "output = ${output}"
    [ "$status" -eq 0 ]
    [[ "$output" == *"not verified"*"env=prod"* ]]
    run kwctl inspect -o yaml --show-signatures "$uri"
    [ "$status" -eq 0 ]
    [[ "$output" == *"signatures:"*"found:"*"env: prod"*"verified: false"* ]]
  done
}
