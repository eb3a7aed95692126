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

# Copies the trust root of the public Sigstore from the newest npm package of the
# Sigstore project that contains it, and prints the package's date. Needs npm and
# python3. npm verifies the downloads. Review the diff before you commit it.

set -euo pipefail
cd "$(dirname "$0")/.."

package=@sigstore/tuf
version=$(npm view "$package" version)
since=$(npm view "$package" time --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$version")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
(cd "$directory" && npm pack --silent "$package@$version" >/dev/null && tar xzf ./*.tgz)
python3 - "$directory/package/seeds.json" "$since" <<'PYTHON'
import base64, datetime, json, re, sys

seeds, since = json.load(open(sys.argv[1])), datetime.datetime.fromisoformat(sys.argv[2]).astimezone(datetime.timezone.utc)
root = base64.b64decode(seeds["https://tuf-repo-cdn.sigstore.dev"]["targets"]["trusted_root.json"])
open("pkg/sigstore/embedded/trusted_root.json", "wb").write(root)
date = "time.Date(%s, time.%s, %s, %s, %s, %s, 0, time.UTC)" % (
    since.year, since.strftime("%B"), since.day, since.hour, since.minute, since.second)
path = "pkg/sigstore/embedded.go"
source = open(path).read()
open(path, "w").write(re.sub(r"time\.Date\(.*\)", date, source))
PYTHON
echo "the trust root is that of $package $version, published $since"
