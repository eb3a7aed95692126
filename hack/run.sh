#!/bin/sh
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

# Builds missing binaries, starts kube-apiserver with the manifests in
# hack/sample, shows what they do to two requests, and serves until Ctrl-C. The
# server watches the manifests. Everything is removed at the end, unless the
# script fails. Settings:
#
#   POLICIES     a directory of your own Kubewarden manifests, in place of the samples
#   AUDIT_LOG    a file that audit events are written to
#   BREAK_GLASS  a file that puts policies into monitor mode, once you write it
#   KUBECTL, MAKE

set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
kubectl=${KUBECTL:-kubectl}
make=${MAKE:-make}
pid=

say() { printf '%s\n' "== $*"; }

stop() {
	status=$?
	trap - EXIT
	if [ -n "$pid" ]; then
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	fi
	if [ "$status" -ne 0 ]; then
		say "kept for inspection: log and manifests in $state" >&2
		exit "$status"
	fi
	rm -rf "$state"
	say "removed with the server: its objects, its log, and your edits in $state"
}

# show prints a kubectl command and runs it. A denied request is not an error
# here.
show() {
	printf '\n$ kubectl %s\n' "$*"
	"$kubectl" "$@" 2>&1 || true
}

"$make" -s -C "$root" build

# The server refuses files that others can write, and a checkout may be
# group-writable. So the server gets copies.
state=$(mktemp -d)
trap stop EXIT
trap 'exit 0' INT TERM
umask 077
policies=${POLICIES:-}
if [ -z "$policies" ]; then
	say "building the sample policies"
	"$make" -s -C "$root" policies
	policies=$state/policies
	mkdir "$policies" "$state/modules"
	for manifest in "$root"/hack/sample/*.yaml; do
		sed "s#MODULES#$state/modules#" "$manifest" >"$policies/$(basename "$manifest")"
	done
	for module in "$root"/test/policies/*/policy.wasm; do
		cp "$module" "$state/modules/$(basename "$(dirname "$module")").wasm"
	done
	cp "$root/bin/policies/required-labels.wasm" "$state/modules/"
fi
set -- --dir "$state/cluster" --policy-directory "$policies"
if [ -n "${BREAK_GLASS:-}" ]; then
	set -- "$@" --break-glass-file "$BREAK_GLASS"
fi
if [ -n "${AUDIT_LOG:-}" ]; then
	printf 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n' >"$state/audit.yaml"
	set -- "$@" -- "--audit-policy-file=$state/audit.yaml" "--audit-log-path=$AUDIT_LOG"
fi

say "starting kube-apiserver"
log=$state/kube-apiserver.log
mkfifo "$state/announcement"
"$root/bin/kube-apiserver" dev "$@" >"$state/announcement" 2>"$log" &
pid=$!
if ! read -r announcement <"$state/announcement"; then
	grep -E '^(kube-apiserver|Error): ' "$log" >&2 || tail -n 20 "$log" >&2
	say "kube-apiserver did not start" >&2
	exit 1
fi
KUBECONFIG=${announcement#KUBECONFIG=}
export KUBECONFIG

if [ -z "${POLICIES:-}" ]; then
	show run allowed --image=registry.example.com/web:1.0
	show run denied --image=registry.example.com/web:1.0 --privileged
	printf '\n'
fi
say "serving until Ctrl-C; the log is $log; in another shell:"
printf 'export KUBECONFIG=%s\n' "$KUBECONFIG"
say "edit, add or remove manifests in $policies: they take effect at once;"
say "kubectl get --raw /readyz/wasm-admission-policies shows what is wrong with them"
wait "$pid"
