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

# Copies a label from the namespace to objects, and logs what it does.
# The namespace is in the host's data about the cluster. Denies an
# object if its namespace does not exist or does not have the label.
#
# Settings: label, the name of a label.
package policy

main := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": object.union({"uid": uid}, verdict),
}

default uid := ""

uid := input.request.uid

# Without the setting there is no verdict, which counts as a failure.
verdict := {"allowed": true} if {
	data.label != ""
	not applies
} else := refuse(500, sprintf("looking up namespace %s: there is none", [name])) if {
	data.label != ""
	not namespace
} else := refuse(403, sprintf("namespace %s has no label %s", [name, data.label])) if {
	not value
} else := {"allowed": true} if {
	labels[data.label]
} else := {
	"allowed": true,
	"patchType": "JSONPatch",
	"patch": base64.encode(json.marshal(patches)),
} if {
	trace(sprintf("label %s is taken from namespace %s", [data.label, name]))
}

default applies := false

applies if {
	input.request.operation in {"CREATE", "UPDATE"}
	name != ""
}

name := input.request.namespace

namespace := data.kubernetes.namespaces[name]

value := namespace.metadata.labels[data.label]

refuse(code, message) := {"allowed": false, "status": {"message": message, "code": code}}

labels := input.request.object.metadata.labels

patches := array.concat(base, [{
	"op": "add",
	"path": concat("/", ["/metadata/labels", escape(data.label)]),
	"value": value,
}])

default base := [{"op": "add", "path": "/metadata/labels", "value": {}}]

base := [] if is_object(labels)

# Escapes a part of a JSON pointer (RFC 6901).
escape(text) := replace(replace(text, "~", "~0"), "/", "~1")
