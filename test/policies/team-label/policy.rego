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

# Denies objects without a label that names a known
# team, and adds an annotation with the team's owner.
#
# Settings: teams, an object that maps each team to its owner.
package policy

main := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": response,
}

default uid := ""

uid := input.request.uid

response := {
	"uid": uid,
	"allowed": false,
	"status": {"message": concat(", ", sort(deny)), "code": 422},
} if {
	count(deny) > 0
} else := {
	"uid": uid,
	"allowed": true,
	"patchType": "JSONPatch",
	"patch": base64.encode(json.marshal(patches)),
	"warnings": warnings,
	"auditAnnotations": {"owner": owner},
} if {
	count(patches) > 0
} else := {
	"uid": uid,
	"allowed": true,
}

metadata := input.request.object.metadata

team := metadata.labels.team

owner := data.teams[team]

annotation := "example.com/owner"

deny contains "label team is missing" if {
	input.request.operation != "DELETE"
	not team
}

deny contains msg if {
	not owner
	msg := sprintf("there is no team %q, only %s", [team, concat(", ", sort(object.keys(data.teams)))])
}

default annotated := false

annotated if metadata.annotations[annotation] == owner

patches := array.concat(base, [{"op": "add", "path": "/metadata/annotations/example.com~1owner", "value": owner}]) if {
	owner
	not annotated
}

default base := [{"op": "add", "path": "/metadata/annotations", "value": {}}]

base := [] if metadata.annotations

warnings := [sprintf("owner is %s, not %s", [owner, other])] if {
	other := metadata.annotations[annotation]
	other != owner
} else := []
