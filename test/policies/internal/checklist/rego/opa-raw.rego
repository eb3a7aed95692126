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

# Allows raw requests whose fields are listed in the settings.
package policy

main := {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}

response := {"uid": "", "allowed": true} if {
	input.request.user in data.users
	input.request.action in data.actions
	input.request.resource in data.resources
} else := {"uid": "", "allowed": false, "status": {"message": sprintf("%s may not: %s %s", [input.request.user, input.request.action, input.request.resource])}}
