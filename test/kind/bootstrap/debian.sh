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

# Unpacks Docker from Debian's packages into .cache/kind/debian, without installing or
# starting it, and makes the root file system for nodes in .cache/kind/base.tar.

set -euo pipefail

cache=$(cd "$(dirname "$0")/../../.." && pwd)/.cache/kind
suite=bookworm

if ! [ -e "$cache/debian/ready" ]; then
	echo "== unpacking Docker" >&2
	rm -rf "$cache/debian"
	mkdir -p "$cache/debian/packages"
	cd "$cache/debian/packages"
	# Docker and those of its dependencies that are not installed.
	apt-get install --simulate --no-install-recommends docker.io mmdebstrap iptables |
		awk '/^Inst/ {print $2}' | xargs apt-get download -qq
	for package in *.deb; do dpkg -x "$package" ../tree; done
	rm -r "$cache/debian/packages"
	touch "$cache/debian/ready"
fi

if ! [ -e "$cache/base.tar" ]; then
	echo "== making the root file system for nodes" >&2
	cd "$cache"
	PATH=$cache/debian/tree/usr/bin:$PATH mmdebstrap --quiet --variant=minbase --include="$(paste -sd, <<-END
		systemd
		systemd-sysv
		conntrack
		curl
		e2fsprogs
		ebtables
		ethtool
		iproute2
		iptables
		jq
		kmod
		libseccomp2
		mount
		nfs-common
		nftables
		pigz
		procps
		runc
		socat
		util-linux
		ca-certificates
	END
	)" --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' $suite base.new.tar
	mv base.new.tar base.tar
fi
