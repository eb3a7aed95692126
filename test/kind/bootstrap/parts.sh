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

# Builds the parts of a node from modules on the Go proxy into .cache/kind/parts. It builds each version once, and
# links to the current ones. Settings: GO, KUBE_VERSION, KUBE_LDFLAGS. Arguments: the parts to build. The default is
# all parts.

set -euo pipefail

go=${GO:-go}
root=$(cd "$(dirname "$0")/../../.." && pwd)
kubernetes=${KUBE_VERSION:?"v1.37.2, say"}
containerd=v2.3.7
coredns=v1.14.6
plugins=v1.9.1
kind=v0.33.0
parts=$root/.cache/kind/parts

export CGO_ENABLED=0
GOFLAGS="$("$go" env GOFLAGS) -trimpath"
export GOFLAGS

# module NAME PACKAGE... creates a module that requires the packages, in the versions that
# its go.mod already names, or the latest.
module() {
	local name=$1 package
	shift
	mkdir -p "$parts/modules/$name"
	cd "$parts/modules/$name"
	{
		echo '//go:build tools'
		echo
		echo "package $name"
		echo
		for package; do echo "import _ \"$package\""; done
	} >tools.go
	"$go" mod tidy
	touch ready
}

# build NAME VERSION MODULE PACKAGE [LDFLAGS] builds a program unless it exists.
build() {
	local name=$1 version=$2 module=$3 package=$4 flags=${5:-}
	mkdir -p "$parts/current"
	if [ "$(readlink "$parts/current/$name")" != "../$version/$name" ]; then
		ln -sfn "../$version/$name" "$parts/current/$name"
	fi
	if [ -x "$parts/$version/$name" ]; then
		return
	fi
	"module_$module"
	echo "== building $name $version" >&2
	mkdir -p "$parts/$version"
	cd "$parts/modules/$module"
	"$go" build -p 1 -ldflags "-s -w $flags" -o "$parts/$version/$name.new" "$package"
	mv "$parts/$version/$name.new" "$parts/$version/$name"
}

programs=(kubeadm kubelet kubectl kube-controller-manager kube-scheduler kube-proxy kube-apiserver)

module_kubernetes() {
	if [ -e "$parts/modules/kubernetes/ready" ]; then
		return
	fi
	mkdir -p "$parts/modules/kubernetes"
	# Build all parts of Kubernetes with the server's dependency versions.
	sed -e '1s,.*,module kubernetes,' -e '/wasm-admission/d' "$root/cmd/kube-apiserver/go.mod" >"$parts/modules/kubernetes/go.mod"
	cp "$root/cmd/kube-apiserver/go.sum" "$parts/modules/kubernetes"
	# Kubernetes requires its staging modules as v0.0.0, and replaces them by directories.
	cd "$parts/modules/kubernetes"
	"$go" mod download k8s.io/kubernetes
	sed -n "s,^\t\(k8s.io/[^ ]*\) v0.0.0\( .*\)*\$,replace \1 => \1 v0${kubernetes#v1},p" \
		"$("$go" list -m -f '{{.Dir}}' k8s.io/kubernetes)/go.mod" >>go.mod
	module kubernetes "${programs[@]/#/k8s.io/kubernetes/cmd/}" go.etcd.io/etcd/server/v3
}

# of MODULE VERSION PACKAGE... creates a module that requires a version of another module.
of() {
	local name=$1 path=$2 version=$3
	shift 3
	if [ -e "$parts/modules/$name/ready" ]; then
		return
	fi
	mkdir -p "$parts/modules/$name"
	printf 'module %s\n\ngo 1.26.0\n\nrequire %s %s\n' "$name" "$path" "$version" >"$parts/modules/$name/go.mod"
	module "$name" "$@"
}

module_containerd() {
	local path=github.com/containerd/containerd/v2
	of containerd $path $containerd $path/cmd/containerd $path/cmd/ctr $path/cmd/containerd-shim-runc-v2
}

module_plugins() {
	local path=github.com/containernetworking/plugins
	of plugins $path $plugins $path/plugins/main/{ptp,loopback} $path/plugins/ipam/host-local
}

module_kind() {
	of kind sigs.k8s.io/kind $kind sigs.k8s.io/kind
}

# The DNS server with only the plugins that kubeadm's Corefile uses. All plugins together
# would need the libraries of three cloud providers.
module_coredns() {
	local path=github.com/coredns/coredns plugin
	mkdir -p "$parts/modules/coredns"
	{
		printf 'package main\n\nimport (\n\t"%s/coremain"\n' $path
		for plugin in cache errors forward health kubernetes loadbalance loop metrics ready reload; do
			printf '\t_ "%s/plugin/%s"\n' $path $plugin
		done
		printf ')\n\nfunc main() { coremain.Run() }\n'
	} >"$parts/modules/coredns/main.go"
	of coredns $path $coredns $path/coremain
}

part() {
	case $1 in
	kind) build kind $kind kind sigs.k8s.io/kind ;;
	etcd) build etcd "$kubernetes" kubernetes go.etcd.io/etcd/server/v3 ;;
	coredns) build coredns $coredns coredns . ;;
	containerd | ctr | containerd-shim-runc-v2) build "$1" $containerd containerd "github.com/containerd/containerd/v2/cmd/$1" ;;
	ptp | loopback) build "$1" $plugins plugins "github.com/containernetworking/plugins/plugins/main/$1" ;;
	host-local) build "$1" $plugins plugins "github.com/containernetworking/plugins/plugins/ipam/$1" ;;
	*) build "$1" "$kubernetes" kubernetes "k8s.io/kubernetes/cmd/$1" "${KUBE_LDFLAGS:-}" ;;
	esac
}

if [ $# = 0 ]; then
	set -- kind ptp loopback host-local coredns containerd ctr containerd-shim-runc-v2 \
		etcd "${programs[@]}"
fi
for name; do part "$name"; done
