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

# Runs a command with a private Docker that the rest of the machine does not see. Both run
# in new network, mount and process namespaces, and end with the command. Docker keeps its
# data, such as images, in .cache/kind/docker. debian.sh unpacks Docker from Debian's
# package. Needs root. Arguments: the command.

set -euo pipefail

root=$(cd "$(dirname "$0")/../../.." && pwd)
cache=$root/.cache/kind
debian=$cache/debian/tree
# The parent of all containers' cgroups, so that they can be found and removed.
cgroup=wasm-admission-kind

if [ "${1:-}" != --inside ]; then
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock --nonblock 9 || { echo "another run uses $cache" >&2; exit 1; }
	status=0
	unshare --net --mount --pid --fork --kill-child --mount-proc "$0" --inside "$@" || status=$?
	# Docker removes the cgroup of a container, but not the parent.
	for _ in $(seq 50); do
		find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null || true
		if ! find /sys/fs/cgroup -type d -name "$cgroup" | grep -q .; then
			break
		fi
		sleep 0.2
	done
	exit $status
fi
shift

# Only processes started here can be ended here: the process namespace has no others.
docker=
trap '[ -z "$docker" ] || { kill -TERM "$docker" 2>/dev/null && wait "$docker"; }' EXIT

mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/kind "$cache/docker"
ip link set lo up
sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 2>/dev/null || true

# debian.sh did not unpack packages that are installed.
libraries=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH=$debian/$libraries XTABLES_LIBDIR=$debian/$libraries/xtables:/$libraries/xtables
export PATH=/run/kind:$debian/usr/sbin:$debian/usr/bin:$PATH
# iptables and its siblings are links that the package creates when it is installed.
for name in iptables ip6tables iptables-save ip6tables-save iptables-restore ip6tables-restore; do
	ln -s "$(command -v xtables-nft-multi)" "/run/kind/$name"
done
ln -s "$cache"/parts/current/{kind,kubectl} /run/kind
REAL_RUNC=$(command -v runc)
export REAL_RUNC
export DOCKER_HOST=unix:///run/kind/docker.sock DOCKER_CONFIG=/run/kind DOCKER_BUILDKIT=0
cp "$root/test/kind/bootstrap/runc.sh" /run/kind/kind-runc
dockerd --host "$DOCKER_HOST" --pidfile /run/kind/docker.pid --exec-root /run/kind/exec \
	--data-root "$cache/docker" --storage-driver overlay2 --exec-opt native.cgroupdriver=cgroupfs \
	--cgroup-parent "/$cgroup" --add-runtime kind=/run/kind/kind-runc --default-runtime kind \
	>"$cache/docker.log" 2>&1 &
docker=$!
for _ in $(seq 300); do
	if docker version >/dev/null 2>&1; then
		break
	fi
	if ! kill -0 "$docker" 2>/dev/null; then
		tail -5 "$cache/docker.log" >&2
		exit 1
	fi
	sleep 0.2
done

# Remove containers that an earlier, killed run left behind.
docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
"$@"
