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

# Denies an Ingress with a host that another Ingress in any namespace already has.
#
# Parameters: except, a list of hosts that may be shared.
package policy

violation contains {"msg": msg, "details": {"host": host}} if {
	some rule in input.review.object.spec.rules
	host := rule.host
	not host in object.get(input, ["parameters", "except"], [])
	some namespace, name
	other := data.inventory.namespace[namespace]["networking.k8s.io/v1"].Ingress[name]
	not same(namespace, name)
	some taken in other.spec.rules
	taken.host == host
	msg := sprintf("host %s belongs to Ingress %s/%s", [host, namespace, name])
	trace(msg)
}

same(namespace, name) if {
	namespace == input.review.namespace
	name == input.review.name
}
