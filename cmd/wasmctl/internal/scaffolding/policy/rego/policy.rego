# An admission policy: Pods must have a label.
#
# Settings: label, the name of the label. In mode opa they are the data.
package policy

main := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": response,
}

response := {
	"uid": input.request.uid,
	"allowed": false,
	"status": {"message": concat(", ", sort(deny)), "code": 403},
} if {
	count(deny) > 0
} else := {
	"uid": input.request.uid,
	"allowed": true,
}

default label := ""

label := data.label

deny contains "settings: label: the name of a label is required" if label == ""

deny contains message if {
	input.request.operation in {"CREATE", "UPDATE"}
	label != ""
	not input.request.object.metadata.labels[label]
	message := sprintf("%s %s has no label %s", [input.request.kind.kind, input.request.name, label])
}
