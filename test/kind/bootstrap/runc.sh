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

# A wrapper of runc for machines on which root lacks CAP_SYS_RESOURCE, such as some virtual
# machines. "docker run --privileged" requests every capability, and runc does not start a
# container if it cannot grant one. Settings: REAL_RUNC.

set -euo pipefail

# without removes the capability from the specification of a container or a process.
without() {
	sed -i -e 's/"CAP_SYS_RESOURCE",//g' -e 's/,"CAP_SYS_RESOURCE"//g' "$1"
}

if ((16#$(sed -n 's/^CapEff:\t//p' /proc/self/status) & (1 << 24))); then
	exec "${REAL_RUNC:-runc}" "$@"
fi
before=
for argument; do
	case $before in
	--bundle | -b) without "$argument/config.json" ;;
	--process | -p) without "$argument" ;;
	esac
	before=$argument
done
exec "${REAL_RUNC:-runc}" "$@"
