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

# Makes an image for kind nodes from another one, by importing an archive of images into its
# containerd. A node does not start in "kind create cluster" if an image is missing.
# Arguments: the image, the archive, the name of the new image.

set -euo pipefail

container=$(docker run --detach --security-opt seccomp=unconfined --entrypoint sleep "$1" infinity)
trap 'docker rm --force --volumes "$container" >/dev/null' EXIT
docker exec --detach "$container" containerd
for _ in $(seq 300); do
	if docker exec "$container" ctr version >/dev/null 2>&1; then
		break
	fi
	sleep 0.2
done
docker exec --interactive "$container" ctr --namespace k8s.io images import --no-unpack --digests=false - <"$2" >/dev/null
docker exec "$container" pkill containerd
docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' --change 'CMD []' "$container" "$3" >/dev/null
