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

# Builds and tests the library and the plugin against a pre-release of Kubernetes,
# without changing the modules of this repository. It does not build the server,
# because k8s.io/kubernetes needs all of its staging modules, and some of them have no
# pre-release. Settings: GO, KUBE_NEXT (a version of k8s.io/api), GO_NEXT (the
# toolchain that it needs).

set -euo pipefail

go=${GO:-go}
root=$(cd "$(dirname "$0")/.." && pwd)
next=${KUBE_NEXT:-v0.38.0-beta.0}
export GOTOOLCHAIN=${GO_NEXT:-go1.27.4}

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
cd "$root"
cp go.mod go.sum "$temporary"
modules=(-modfile="$temporary/go.mod" -mod=mod)

for module in api apimachinery apiserver client-go component-base; do
	"$go" mod edit -require "k8s.io/$module@$next" "$temporary/go.mod"
done
# The pre-release requires versions that cannot be downloaded. Replace them by the
# nearest available ones.
"$go" mod edit \
	-replace k8s.io/kms=k8s.io/kms@v0.37.2 \
	-replace k8s.io/streaming=k8s.io/streaming@v0.37.2 \
	-replace sigs.k8s.io/structured-merge-diff/v7=sigs.k8s.io/structured-merge-diff/v7@v7.0.0 \
	"$temporary/go.mod"

echo "== vetting against Kubernetes $next with $("$go" env GOVERSION)"
"$go" vet "${modules[@]}" ./pkg/... ./plugin/... ./internal/... ./featuregate/...
echo "== testing"
"$go" test "${modules[@]}" "$@" ./pkg/... ./plugin/... ./internal/... ./featuregate/...
