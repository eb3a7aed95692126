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

# Copies the library and the plugin into a Kubernetes tree, as a pull request would, and builds
# its kube-apiserver:
#
#   pkg/, internal/   -> staging/src/k8s.io/wasm-admission, as far as the plugin imports them
#   plugin/           -> plugin/pkg/admission/wasm
#   cmd/kube-apiserver/status.go -> cmd/kube-apiserver/app/wasmadmission_status.go
#   hack/upstream/wiring.patch: feature gate, order of plugins, health checks, status, main
#
# Usage: hack/upstream.sh [TREE]. TREE is a checkout of Kubernetes at KUBE_VERSION, which the
# script changes. Without TREE, the script assembles a tree in .cache/upstream from modules on
# the Go proxy. CHECK=1 also starts the server with a policy, and shows that it denies a Pod.
# Settings: GO, KUBE_VERSION, CHECK.
#
# The parts that need the Open Policy Agent and Sigstore stay out of the tree: a program
# that links them passes them to the plugin. In a full checkout, run hack/update-vendor.sh,
# hack/update-featuregates.sh and hack/update-internal-modules.sh afterward.

set -euo pipefail

go=${GO:-go}
root=$(cd "$(dirname "$0")/.." && pwd)
version=${KUBE_VERSION:-v1.37.2}
tree=${1:-$root/.cache/upstream/kubernetes}
module=github.com/wasm-admission/wasm-admission
plugin=plugin/pkg/admission/wasm
staging=$tree/staging/src/k8s.io/wasm-admission
# The main module's go.mod is complete. go.work lists the same modules, for developers.
export GOWORK=off CGO_ENABLED=0

# fetch copies the module $1 from the proxy to $2. It fails if the proxy does not have the
# module.
fetch() {
	local directory
	directory=$({ "$go" mod download -json "$1" || true; } | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	if [ -z "$directory" ]; then return 1; fi
	mkdir -p "$2"
	cp -R --no-preserve=mode "$directory/." "$2"
}

# assemble makes the tree of a checkout, without Kubernetes' own documents and tests.
assemble() {
	rm -rf "$tree"
	mkdir -p "$tree"
	cd "$tree"
	fetch "k8s.io/kubernetes@$version" "$tree"
	rm -rf "$tree/CHANGELOG" "$tree/vendor" "$tree/test"
	local staged
	for staged in $(sed -n 's#^\t\(k8s.io/[^ ]*\) => ./staging/.*#\1#p' "$tree/go.mod"); do
		if ! fetch "$staged@v0.${version#v1.}" "$tree/staging/src/$staged"; then
			echo "the proxy does not have $staged, which kube-apiserver does not need: continuing without it"
			"$go" mod edit -droprequire "$staged" -dropreplace "$staged"
			"$go" work edit -dropuse "./staging/src/$staged" go.work
		fi
	done
}

# adopt changes the Go files below $1 to the import paths of the tree. It deletes the tests
# of a directory if they need code or guests of this repository that are not copied.
adopt() {
	find "$1" -name '*.go' -exec sed -i \
		-e "s#\"$module/\(pkg\|internal\)/#\"k8s.io/wasm-admission/\1/#" \
		-e "s#\[$module/#[k8s.io/wasm-admission/#" \
		-e "s#conversion-gen=$module/#conversion-gen=k8s.io/wasm-admission/#" {} +
	{ grep -rlE --include='*_test.go' "\"$module/|\.\./test/|\"test\", \"|spectest" "$1" || true; } | xargs -r dirname | sort -u |
		while read -r directory; do find "$directory" -maxdepth 1 -name '*_test.go' -delete; done
}

# prune deletes the tests of a directory if they import one of our packages that is not copied.
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

# lay copies the packages that the plugin needs to where a pull request would
# put them.
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
	# In the tree, the gate is one of Kubernetes' own.
	find "$tree/$plugin" -name '*.go' -exec sed -i \
		-e "s#\"$module/featuregate\"#\"k8s.io/kubernetes/pkg/features\"#" \
		-e 's#\bfeaturegate\.WasmAdmission\b#features.WasmAdmission#g' {} +
	adopt "$tree/$plugin"
	prune
	# Copy what the status needs to know about the server.
	local status=$tree/cmd/kube-apiserver/app/wasmadmission_status.go
	sed -e 's/^package main$/package app/' -e "s#\"$module/pkg/#\"k8s.io/wasm-admission/pkg/#" cmd/kube-apiserver/status.go >"$status"
}

# require writes the staging module's go.mod, and adds the module to Kubernetes' go.mod.
# Versions are those that Kubernetes pins. For modules that Kubernetes does not use, they are
# ours.
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
echo "== copying the library and the plugin into $tree"
before=$(mktemp)
trap 'rm -f "$before"' EXIT
cp "$tree/go.mod" "$before"
lay
require
cd "$tree"
patch -p1 --forward --no-backup-if-mismatch <"$root/hack/upstream/wiring.patch"

echo "== building kube-apiserver"
"$go" build -mod=mod -trimpath -ldflags '-s -w' -o _output/kube-apiserver ./cmd/kube-apiserver
echo "== changes in go.mod, except versions of Kubernetes' own modules"
diff "$before" go.mod | grep '^[<>]' | grep -v 'k8s.io/[a-z-]* v0\.[0-9.]*$' || true
echo "== the feature gate, and the plugin's place in the order of plugins"
help=$(_output/kube-apiserver --help)
grep -o 'WasmAdmission=true|false (ALPHA.*' <<<"$help" | head -n 1
grep -o 'PodResizeValidator, WasmAdmission, MutatingAdmissionPolicy' <<<"$help" | head -n 1
echo "== vetting the library and the plugin in the tree"
"$go" vet -mod=mod "./$plugin" k8s.io/wasm-admission/...
if [ -n "${CHECK:-}" ]; then
	echo "== a server with a policy"
	"$root/hack/upstream/check.sh" "$tree/_output/kube-apiserver"
fi
