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

# Validates deploy/kubeadm with the kubeadm of the same Kubernetes version, and
# regenerates the static Pod there. Settings: GO, KUBE_VERSION.

set -euo pipefail

go=${GO:-go}
root=$(cd "$(dirname "$0")/.." && pwd)
version=${KUBE_VERSION:?"v1.37.2, say"}
cache=$root/.cache/kubeadm-$version
deploy=$root/deploy/kubeadm

if ! [ -x "$cache/kubeadm" ]; then
	echo "== building kubeadm $version" >&2
	mkdir -p "$cache"
	cat >"$cache/main.go" <<'END'
package main

import (
	"os"

	"k8s.io/kubernetes/cmd/kubeadm/app"
)

func main() {
	if app.Run() != nil {
		os.Exit(1)
	}
}
END
	# Build kubeadm with the server's dependency versions.
	sed -e '1s,.*,module kubeadm,' -e '/wasm-admission/d' "$root/cmd/kube-apiserver/go.mod" >"$cache/go.mod"
	cp "$root/cmd/kube-apiserver/go.sum" "$cache"
	cd "$cache"
	"$go" mod tidy
	CGO_ENABLED=0 "$go" build -trimpath -ldflags "-X k8s.io/component-base/version.gitVersion=$version" -o kubeadm .
fi

"$cache/kubeadm" config validate --config "$deploy/cluster.yaml"
"$cache/kubeadm" config validate --config "$deploy/upgrade.yaml"

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
sed "s,/etc/kubernetes/patches,$deploy/patches," "$deploy/cluster.yaml" >"$temporary/cluster.yaml"
echo 'localAPIEndpoint: {advertiseAddress: 192.0.2.10}' >>"$temporary/cluster.yaml"
KUBEADM_INIT_DRYRUN_DIR=$temporary "$cache/kubeadm" init phase control-plane apiserver --dry-run --config "$temporary/cluster.yaml" >&2
{
	sed -n '1,/^$/p' "$deploy/cluster.yaml"
	echo '# The static Pod that kubeadm generates from cluster.yaml and the patch (make'
	echo '# kubeadm-manifest), for a node with the address 192.0.2.10. Use it if you write'
	echo '# static Pods yourself.'
	cat "$temporary/kube-apiserver.yaml"
} >"$deploy/kube-apiserver.yaml"
