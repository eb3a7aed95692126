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

# Starts the kube-apiserver that hack/upstream.sh built, with a policy, and shows that it denies a privileged
# Pod, admits another Pod, and reports its status. It needs bin/etcd (make etcd), openssl and curl. Usage:
# hack/upstream/check.sh KUBE_APISERVER. Settings: PORT.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
server=$1
port=${PORT:-16443}
pids=()
state=$(mktemp -d)
stop() {
	# Stop the server first: without etcd, it takes minutes to exit.
	for pid in "${pids[1]:-}" "${pids[0]:-}"; do
		if [ -n "$pid" ]; then
			kill "$pid" 2>/dev/null || true
			wait "$pid" 2>/dev/null || true
		fi
	done
	rm -rf "$state"
}
trap stop EXIT
umask 077

# etcd exits when its standard input closes.
mkfifo "$state/stdin" "$state/stdout"
"$root/bin/etcd" -dir "$state/etcd" <"$state/stdin" >"$state/stdout" 2>"$state/etcd.log" &
pids+=($!)
exec 3>"$state/stdin"
read -r etcd <"$state/stdout"

openssl genrsa -out "$state/key.pem" 2048 2>/dev/null
printf 'secret,admin,admin,system:masters\n' >"$state/tokens.csv"
cp "$root/test/policies/pod-privileged/policy.wasm" "$state/policy.wasm"
cat >"$state/admission.yaml" <<EOF
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    policies:
    - name: no-privileged-pods
      module: file://$state/policy.wasm
EOF
# Disable ServiceAccount, because no controller creates the default account for
# Pods.
"$server" --etcd-servers="${etcd#ETCD=}" --bind-address=127.0.0.1 --secure-port="$port" --cert-dir="$state/certs" \
	--allow-privileged --authorization-mode=RBAC --token-auth-file="$state/tokens.csv" --disable-admission-plugins=ServiceAccount \
	--service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$state/key.pem" \
	--service-account-signing-key-file="$state/key.pem" --service-cluster-ip-range=10.0.0.0/24 \
	--feature-gates=WasmAdmission=true --admission-control-config-file="$state/admission.yaml" 2>"$state/server.log" &
pids+=($!)

ask() { curl --silent --show-error --insecure --header 'Authorization: Bearer secret' "https://127.0.0.1:$port$1" "${@:2}"; }
for ((try = 0; ; try++)); do
	if ask /readyz/wasm-admission --fail >/dev/null 2>&1 && ask /api/v1/namespaces/default --fail >/dev/null 2>&1; then break; fi
	if [ "$try" -eq 300 ] || ! kill -0 "${pids[1]}" 2>/dev/null; then
		tail -n 20 "$state/server.log" >&2
		echo "the server did not become ready" >&2
		exit 1
	fi
	sleep 1
done

# create creates a Pod with the security context $2, and prints the response.
create() {
	ask /api/v1/namespaces/default/pods --header 'Content-Type: application/json' --data '{"apiVersion": "v1", "kind": "Pod",
		"metadata": {"name": "'"$1"'"}, "spec": {"containers": [{"name": "main", "image": "registry.example.com/web:1.0", "securityContext": '"$2"'}]}}'
}
answer=$(create allowed '{}')
grep '"kind": "Pod"' <<<"$answer" || { printf '%s\n' "$answer" >&2; exit 1; }
answer=$(create denied '{"privileged": true}')
grep -F 'WasmAdmission policy \"no-privileged-pods\" denied the request' <<<"$answer" || { printf '%s\n' "$answer" >&2; exit 1; }
for ((try = 0; ; try++)); do
	answer=$(ask /apis/coordination.k8s.io/v1/namespaces/kube-system/leases)
	if grep -o '"name": "wasm-admission-[^"]*"' <<<"$answer"; then break; fi
	if [ "$try" -eq 60 ]; then
		printf '%s\n' "$answer" >&2
		exit 1
	fi
	sleep 1
done
