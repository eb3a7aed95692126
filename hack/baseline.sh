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

# Builds kube-apiserver from another revision of this repository as the baseline for
# benchmarks, and prints the path of the binary. Without a revision, it prints nothing.

set -euo pipefail

(($#)) || exit 0
cd "$(dirname "$0")/.."
commit=$(git rev-parse --verify "$1^{commit}")
tree=$PWD/.cache/baseline/$commit
if [[ ! -d $tree ]]; then
	mkdir -p "$tree.part"
	git archive "$commit" | tar -x -C "$tree.part"
	mv "$tree.part" "$tree"
fi
make --silent -C "$tree" build GO="${GO:-go}" >&2
echo "$tree/bin/kube-apiserver"
