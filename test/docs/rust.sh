# shellcheck shell=bash
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

# Sourced before docs/authors/rust.md is followed. It fails if the page cannot be followed on
# this machine. The page uses rustup to install the target wasm32-wasip1. With Debian's packages
# from hack/guest-toolchains.sh instead, Cargo must compile the standard library itself, and the
# settings below tell it how.

if [ -d "$(rustc --print target-libdir --target wasm32-wasip1 2>/dev/null)" ]; then
	return 0
fi
if [ ! -x /usr/bin/cargo ] || [ ! -d /usr/lib/rustlib/src/rust/library ] || [ ! -e /usr/lib/wasm32-wasi/crt1-reactor.o ]; then
	return 1
fi
export PATH="/usr/bin:$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort
export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-Clinker=wasm-ld-19 -Clink-self-contained=no -Lnative=/usr/lib/wasm32-wasi \
-Clink-arg=/usr/lib/wasm32-wasi/crt1-reactor.o -Clink-arg=--export=_initialize"
