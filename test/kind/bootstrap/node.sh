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

# Builds the image for kind's nodes, as kind's own build does, but from the parts in
# .cache/kind instead of images in a registry. Runs inside docker.sh. Prints the image's
# name. Settings: GO, KUBE_VERSION.

set -euo pipefail

go=${GO:-go}
root=$(cd "$(dirname "$0")/../../.." && pwd)
kubernetes=${KUBE_VERSION:?"v1.37.2, say"}
cache=$root/.cache/kind
parts=$cache/parts
base=wasm-admission/kind-base:bookworm

current=$parts/current

work=$(mktemp -d "$cache/node.XXXXXX")
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 "$go" -C "$root" build -trimpath -o "$work/" ./test/kind/pause ./test/kind/balancer
key=$(cat "$0" "$cache"/base.tar "$current"/* "$work"/* | sha256sum | cut -c1-16)
node=wasm-admission/kind-node:$key
if docker image inspect "$node" >/dev/null 2>&1; then
	echo "$node"
	exit
fi
echo "== building $node" >&2
docker import "$cache/base.tar" "$base" >/dev/null

# image NAME PROGRAM ENTRYPOINT [BASE] builds an image with one program.
images=()
image() {
	local directory=$work/image
	rm -rf "$directory"
	mkdir "$directory"
	cp "$2" "$directory/program"
	{
		echo "FROM ${4:-scratch}"
		echo 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
		echo "COPY program $3"
		echo "ENTRYPOINT [\"$3\"]"
	} >"$directory/Dockerfile"
	docker build --quiet --tag "$1" "$directory" >/dev/null
	images+=("$1")
}

for name in kube-apiserver kube-controller-manager kube-scheduler; do
	image "registry.k8s.io/$name:$kubernetes" "$current/$name" "/usr/local/bin/$name"
done
image "registry.k8s.io/kube-proxy:$kubernetes" "$current/kube-proxy" /usr/local/bin/kube-proxy "$base"
# The other images that kubeadm needs, under the names that it uses.
for name in $("$current/kubeadm" config images list --kubernetes-version "$kubernetes" 2>/dev/null); do
	case $name in
	*/etcd:*) image "$name" "$current/etcd" /usr/local/bin/etcd ;;
	*/coredns:*) image "$name" "$current/coredns" /coredns ;;
	*/pause:*) image "$name" "$work/pause" /pause ;;
	esac
done
# The image that containerd starts every Pod with, and the one that tests run.
image registry.k8s.io/pause:3.10 "$work/pause" /pause
image example.com/shell:v1 "$work/pause" /pause "$base"
docker save --output "$work/images.tar" "${images[@]}"

# With several control planes, kind needs Envoy under this name.
kind=$(cd "$parts/modules/kind" && "$go" list -m -f '{{.Dir}}' sigs.k8s.io/kind)
image "$(sed -n 's/^const Image = "\(.*\)"/\1/p' "$kind/pkg/cluster/internal/loadbalancer/const.go")" "$work/balancer" /usr/local/bin/envoy "$base"

# The steps in kind's images/base/Dockerfile.
mkdir "$work/node" "$work/node/bin" "$work/node/local" "$work/node/cni"
cp -r "$kind/images/base/files" "$work/node"
chmod -R u+w "$work/node/files"
cp "$current"/{kubeadm,kubelet,kubectl} "$work/node/bin"
cp "$current"/{containerd,ctr,containerd-shim-runc-v2} "$work/node/local"
cp "$current"/{host-local,loopback,ptp} "$work/node/cni"
cat >"$work/node/Dockerfile" <<END
FROM $base
COPY files/ /
COPY bin/ /usr/bin/
COPY local/ /usr/local/bin/
COPY cni/ /opt/cni/bin/
RUN chmod 755 /usr/local/bin/* /kind /kind/bin /kind/bin/* && \
	find /etc /kind -type f ! -path '/kind/bin/*' -path '*/systemd/system/*' -exec chmod 644 {} + && \
	find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete && \
	rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
		/lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \
		/lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/basic.target.wants/* && \
	echo ReadKMsg=no >>/etc/systemd/journald.conf && \
	systemctl enable kubelet.service containerd.service undo-mount-hacks.service && \
	systemctl mask systemd-binfmt.service && \
	mkdir -p /etc/kubernetes/manifests && \
	printf %s $kubernetes >/kind/version && \
	ctr oci spec | jq '.hooks.createContainer[.hooks.createContainer| length] |= . + {"path": "/kind/bin/mount-product-files.sh"}' | \
		jq 'del(.process.rlimits)' >/etc/containerd/cri-base.json
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT [ "/usr/local/bin/entrypoint", "/sbin/init" ]
END
docker build --quiet --tag "$node-empty" "$work/node" >/dev/null
"$(dirname "$0")/preload.sh" "$node-empty" "$work/images.tar" "$node"
docker rmi "$node-empty" >/dev/null
# Remove node images of other versions. The first time there are none, and grep fails.
docker images --format '{{.Repository}}:{{.Tag}}' wasm-admission/kind-node |
	{ grep -vxF "$node" || true; } | xargs --no-run-if-empty docker rmi >/dev/null
docker image prune --force >/dev/null
echo "$node"
