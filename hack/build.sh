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

# Runs "go build" with the given arguments in the current directory, and shows
# how many of the stale packages are compiled. Settings: GO.

set -euo pipefail

go=${GO:-go}

# Packages in the build cache are not compiled again, so they do not count.
total=$("$go" list -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' . 2>/dev/null | wc -l) || total=0
if [ "$total" -lt 20 ]; then
	exec "$go" build "$@"
fi

printf '== compiling %d packages, then linking them\n' "$total" >&2
begin=$SECONDS
said=0
count=0
# Go prints a package's path when it starts to compile it. All other output
# contains spaces or starts with #.
"$go" build -v "$@" 2>&1 | while IFS= read -r line; do
	case $line in
	*' '* | '#'*)
		printf '%s\n' "$line" >&2
		continue
		;;
	esac
	count=$((count + 1))
	elapsed=$((SECONDS - begin))
	if [ "$elapsed" -ge $((said + 10)) ]; then
		said=$elapsed
		left=$((elapsed * (total - count) / count))
		printf '== %d of %d packages after %d s, about %d s more, and linking\n' "$count" "$total" "$elapsed" "$((left > 0 ? left : 0))" >&2
	fi
done
