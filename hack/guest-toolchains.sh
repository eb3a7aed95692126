#!/usr/bin/env bash

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

# Installs what `make -C test/policies rebuild-guests` needs to rebuild the
# sample policies that are committed as .wasm, on Debian 12 (bookworm), as root:
#
#   rustc-web, cargo-web, rust-web-src  Rust, and the sources of its standard
#                                       library, which the build compiles for
#                                       wasm32-wasip1: Debian has no binary of it
#   wasi-libc, from backports           the C library below that
#   clang-19, lld-19                    C, and the linker for Rust as well
#   wabt                                wat2wasm
#   nodejs, npm                         AssemblyScript, unless npm is there; the
#                                       build gets the compiler from the registry
#
# The build itself downloads crates and npm packages, at the versions in their
# lock files. Go guests need only the Go toolchain.

set -o errexit -o nounset -o pipefail

codename=bookworm

if [[ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" != "${codename}" ]]; then
  echo "this script only supports Debian ${codename}" >&2
  exit 1
fi

# Use the mirror that the machine already uses for backports as well.
mirror="$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
  awk -v codename="${codename}" '$1 == codename { print $2; exit }')"
if [[ -z "${mirror}" ]]; then
  echo "no apt source for Debian ${codename} is configured" >&2
  exit 1
fi
cat >/etc/apt/sources.list.d/guest-toolchains.sources <<SOURCE
Types: deb
URIs: ${mirror}
Suites: ${codename}-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCE

packages=(
  cargo-web rustc-web rust-web-src "wasi-libc/${codename}-backports"
  clang-19 lld-19 wabt make
)
if ! command -v npm >/dev/null; then
  packages+=(nodejs npm)
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends "${packages[@]}"
