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

# Lays the library and the plugin into a tree of Kubernetes, as a pull request would, and builds
# its kube-apiserver:
#
#   pkg/, internal/   -> staging/src/k8s.io/wasm-admission, as far as the plugin imports them
#   plugin/           -> plugin/pkg/admission/wasm
#   cmd/kube-apiserver/status.go -> cmd/kube-apiserver/app/wasmadmission_status.go
#   hack/upstream/wiring.patch: feature gate, order of plugins, health checks, status, main
#
# Usage: hack/upstream.sh [TREE]. TREE is a checkout of Kubernetes at KUBE_VERSION, which is
# changed. Without it, a tree is assembled in .cache/upstream from the modules of the Go proxy.
# CHECK=1 also starts the server with a policy, and shows that it refuses a Pod. Settings: GO,
# KUBE_VERSION, CHECK.
#
# What the Open Policy Agent and Sigstore are needed for stays outside: the plugin is handed
# these by whoever links them. Afterwards hack/update-vendor.sh, hack/update-featuregates.sh
# and hack/update-internal-modules.sh of a full checkout do the rest.

set -euo pipefail

go=${GO:-go}
root=$(cd "$(dirname "$0")/.." && pwd)
version=${KUBE_VERSION:-v1.37.2}
tree=${1:-$root/.cache/upstream/kubernetes}
module=github.com/wasm-admission/wasm-admission
plugin=plugin/pkg/admission/wasm
staging=$tree/staging/src/k8s.io/wasm-admission
# The main module's go.mod says all; go.work has the same modules, for those who work in the tree.
export GOWORK=off CGO_ENABLED=0

# fetch copies the module $1 from the proxy to $2. It fails for one that the proxy does not have.
fetch() {
	local directory
	directory=$({ "$go" mod download -json "$1" || true; } | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	if [ -z "$directory" ]; then return 1; fi
	mkdir -p "$2"
	cp -R --no-preserve=mode "$directory/." "$2"
}

# assemble makes the tree that a checkout has, without documents and tests of its own.
assemble() {
	rm -rf "$tree"
	mkdir -p "$tree"
	cd "$tree"
	fetch "k8s.io/kubernetes@$version" "$tree"
	rm -rf "$tree/CHANGELOG" "$tree/vendor" "$tree/test"
	local staged
	for staged in $(sed -n 's#^\t\(k8s.io/[^ ]*\) => ./staging/.*#\1#p' "$tree/go.mod"); do
		if ! fetch "$staged@v0.${version#v1.}" "$tree/staging/src/$staged"; then
			echo "the proxy does not have $staged, which kube-apiserver does not need: going on without"
			"$go" mod edit -droprequire "$staged" -dropreplace "$staged"
			"$go" work edit -dropuse "./staging/src/$staged" go.work
		fi
	done
}

# adopt gives the Go files below $1 the import paths of the tree. Directories with tests that
# need more of this repository than is laid, code or guests, lose their tests.
adopt() {
	find "$1" -name '*.go' -exec sed -i \
		-e "s#\"$module/\(pkg\|internal\)/#\"k8s.io/wasm-admission/\1/#" \
		-e "s#\[$module/#[k8s.io/wasm-admission/#" \
		-e "s#conversion-gen=$module/#conversion-gen=k8s.io/wasm-admission/#" {} +
	{ grep -rlE --include='*_test.go' "\"$module/|\.\./test/|\"test\", \"|spectest" "$1" || true; } | xargs -r dirname | sort -u |
		while read -r directory; do find "$directory" -maxdepth 1 -name '*_test.go' -delete; done
}

# prune removes tests that import a package of ours which is not laid, with the others of their
# directory.
prune() {
	local file package
	{ grep -rl --include='*_test.go' '"k8s.io/wasm-admission/' "$staging" "$tree/$plugin" || true; } |
		while read -r file; do
			if [ ! -e "$file" ]; then continue; fi
			sed -n 's#.*"k8s.io/wasm-admission/\([^"]*\)".*#\1#p' "$file" | while read -r package; do
				if [ ! -d "$staging/$package" ]; then find "$(dirname "$file")" -maxdepth 1 -name '*_test.go' -delete; fi
			done
		done
}

# lay puts the packages that the plugin is made of where a pull request would.
lay() {
	local directory
	rm -rf "$staging" "${tree:?}/$plugin"
	cd "$root"
	"$go" list -deps -f '{{with .Module}}{{if .Main}}{{$.ImportPath}}{{end}}{{end}}' "./$plugin" |
		sed "s#^$module/##" | grep -E '^(pkg|internal)/' |
		while read -r directory; do
			mkdir -p "$staging/$directory"
			find "$directory" -maxdepth 1 -type f -exec cp {} "$staging/$directory" \;
			if [ -d "$directory/testdata" ]; then cp -R "$directory/testdata" "$staging/$directory/"; fi
		done
	cp LICENSE "$staging/"
	adopt "$staging"
	mkdir -p "$tree/$plugin"
	cp -R "$plugin/." "$tree/$plugin"
	# The gate is one of Kubernetes' own there.
	find "$tree/$plugin" -name '*.go' -exec sed -i \
		-e "s#\"$module/featuregate\"#\"k8s.io/kubernetes/pkg/features\"#" \
		-e 's#\bfeaturegate\.WasmAdmission\b#features.WasmAdmission#g' {} +
	adopt "$tree/$plugin"
	prune
	# What the server's status has to know of the server.
	local status=$tree/cmd/kube-apiserver/app/wasmadmission_status.go
	sed -e 's/^package main$/package app/' -e "s#\"$module/pkg/#\"k8s.io/wasm-admission/pkg/#" cmd/kube-apiserver/status.go >"$status"
}

# require makes the staging module's go.mod, and adds it to that of Kubernetes: at the versions
# that Kubernetes has pinned, and at ours of what it does not have.
require() {
	local path pinned ours
	cd "$staging"
	"$go" mod init k8s.io/wasm-admission 2>/dev/null
	"$go" mod edit -go "$(sed -n 's/^go //p' "$tree/go.mod")"
	(cd "$root" && "$go" list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}' "./$plugin" | sort -u) |
		while read -r path ours; do
			pinned=$(sed -n "s#^\t$path \(v[^ ]*\).*#\1#p" "$tree/go.mod" | head -n 1)
			"$go" mod edit -require "$path@${pinned:-$ours}"
			if [ -d "$tree/staging/src/$path" ]; then "$go" mod edit -replace "$path=../${path#k8s.io/}"; fi
		done
	cd "$tree"
	"$go" mod edit -require k8s.io/wasm-admission@v0.0.0 -replace k8s.io/wasm-admission=./staging/src/k8s.io/wasm-admission
	"$go" work edit -use ./staging/src/k8s.io/wasm-admission go.work
}

if [ $# -eq 0 ]; then
	echo "== assembling Kubernetes $version"
	assemble
fi
echo "== laying the library and the plugin into $tree"
before=$(mktemp)
trap 'rm -f "$before"' EXIT
cp "$tree/go.mod" "$before"
lay
require
cd "$tree"
patch -p1 --forward --no-backup-if-mismatch <"$root/hack/upstream/wiring.patch"

echo "== building kube-apiserver"
"$go" build -mod=mod -trimpath -ldflags '-s -w' -o _output/kube-apiserver ./cmd/kube-apiserver
echo "== what changed in go.mod, beside the versions of Kubernetes' own modules"
diff "$before" go.mod | grep '^[<>]' | grep -v 'k8s.io/[a-z-]* v0\.[0-9.]*$' || true
echo "== the gate, and the plugin in the order of all"
help=$(_output/kube-apiserver --help)
grep -o 'WasmAdmission=true|false (ALPHA.*' <<<"$help" | head -n 1
grep -o 'PodResizeValidator, WasmAdmission, MutatingAdmissionPolicy' <<<"$help" | head -n 1
echo "== vetting the library and the plugin in the tree"
"$go" vet -mod=mod "./$plugin" k8s.io/wasm-admission/...
if [ -n "${CHECK:-}" ]; then
	echo "== a server with a policy"
	"$root/hack/upstream/check.sh" "$tree/_output/kube-apiserver"
fi
