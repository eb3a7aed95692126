/*
Copyright The WasmAdmission Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package policies_test

// defaultSettings are those of cases that name none.
var defaultSettings = map[string]string{
	"add-defaults": `{"labels":{"team":"none"},"annotations":{"example.com/seen":"yes"},"sidecar":{"name":"proxy","image":"ghcr.io/acme/proxy:2"},` +
		`"remove":["spec.nodeName"],"maximums":{"spec.replicas":10,"spec.terminationGracePeriodSeconds":60}}`,
	"allowed-registries": `{"registries":["registry.k8s.io","ghcr.io/acme"]}`,
	"always-pull":        `{}`,
	"audit-logger":       `{}`,
	"default-tolerations": `{"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":30},` +
		`{"key":"example.com/pool","value":"the \"shop\"","effect":"NoSchedule"}]}`,
	"deny-deletion":     `{"operations":["DELETE","CONNECT"],"protectedLabel":"wasm-admission.example/protected"}`,
	"drop-capabilities": `{"drop":["NET_RAW","SYS_CHROOT"]}`,
	"no-latest-tag":     `{}`,
	"pod-privileged":    `{}`,
	"required-labels":   `{"labels":{"team":"^[a-z]+$","cost-center":"^cc-[0-9]{4}$"}}`,
}

// validateCase is a request of testdata and what the policy makes of it: an
// error, a refusal with a message, or neither, which is acceptance.
type validateCase struct {
	request, settings string
	refused, wantErr  string
	code              int
	// unchanged is whether the object stays as it is, although another case with the
	// same request changes it.
	unchanged bool
}

var validateCases = map[string][]validateCase{
	"pod-privileged": {
		{request: "pod-create-unprivileged"},
		{request: "deployment-create-unprivileged"},
		{request: "pod-delete"},
		{request: "pod-create-privileged",
			refused: `Privileged container is not allowed: container "agent", container "node"`},
		{request: "pod-create-privileged-init",
			refused: `Privileged container is not allowed: init container "sysctl"`},
		{request: "pod-create-privileged-init", settings: `{"skip_init_containers":true}`},
		{request: "pod-update-privileged-ephemeral",
			refused: `Privileged container is not allowed: ephemeral container "debugger"`},
		{request: "pod-update-privileged-ephemeral", settings: `{"skip_ephemeral_containers":true}`},
		{request: "deployment-create-privileged", refused: agentRefused},
		{request: "replicaset-create-privileged", refused: agentRefused},
		{request: "statefulset-create-privileged", refused: agentRefused},
		{request: "daemonset-create-privileged", refused: agentRefused},
		{request: "job-create-privileged", refused: agentRefused},
		{request: "cronjob-create-privileged", refused: agentRefused},
		{request: "replicationcontroller-create-privileged", refused: agentRefused},
		{request: "widget-create",
			refused: "Cannot look for privileged containers: kind Widget is not known to have containers"},
		{request: "pod-create-unprivileged", settings: `{"skip":1}`, wantErr: "unknown field `skip`"},
	},
	"add-defaults": {
		{request: "pod-create"},
		{request: "pod-create", settings: `{"labels":{"app":"other"},"maximums":{"spec.replicas":1},"remove":["spec.no.such.field"]}`, unchanged: true},
		{request: "pod-create-complete"},
		{request: "pod-update-terminating"},
		{request: "pod-delete"},
		{request: "deployment-update"},
		{request: "deployment-scale"},
		{request: "widget-create"},
		{request: "pod-create", settings: `{"label":{}}`, wantErr: `unknown field "label"`},
	},
	"always-pull": {
		{request: "pod-create"},
		{request: "pod-create-always"},
		{request: "pod-create-odd-text"},
		{request: "pod-delete"},
		{request: "deployment-update"},
		{request: "cronjob-create"},
		{request: "service-create"},
	},
	"default-tolerations": {
		{request: "pod-create"},
		{request: "pod-create-one-missing"},
		{request: "pod-create-complete"},
		{request: "pod-create-odd-text"},
		{request: "pod-create-empty"},
		{request: "pod-delete"},
		{request: "event-create"},
		{request: "pod-create", settings: `{}`, wantErr: "tolerations: a list of at least one"},
	},
	"drop-capabilities": {
		{request: "pod-create"},
		{request: "pod-create-dropped"},
		{request: "pod-create-adding", refused: `Container "ping" must not add capability "NET_RAW", which it has to drop`},
		{request: "pod-create-adding", settings: `{"drop":["ALL"]}`, refused: `Container "ping" must not add capability "NET_RAW", which it has to drop`},
		{request: "pod-delete"},
		{request: "deployment-update"},
		{request: "cronjob-create"},
		{request: "service-create"},
		{request: "pod-create", settings: `{}`, wantErr: "missing field `drop`"},
	},
	"required-labels": {
		{request: "namespace-create-labelled"},
		{request: "namespace-delete-unlabelled"},
		{request: "widget-create-labelled"},
		{request: "widget-update-terminating"},
		{request: "namespace-create-unlabelled",
			refused: `required labels: label "cost-center" is missing; label "team" is missing`},
		{request: "widget-create-one-missing", refused: `required labels: label "cost-center" is missing`},
		{request: "deployment-update-mismatch",
			refused: `required labels: label "cost-center" is "cc-12" and does not match "^cc-[0-9]{4}$"; ` +
				`label "team" is "Team7" and does not match "^[a-z]+$"`},
		{request: "namespace-create-labelled", settings: `{"labels":{"team":"("}}`, wantErr: `label "team"`},
	},
	"allowed-registries": {
		{request: "pod-create-allowed"},
		{request: "deployment-create-allowed"},
		{request: "pod-delete"},
		{request: "pod-create-docker-hub",
			refused: `images from registries that are not allowed: "nginx:1.29", "redis"`},
		{request: "pod-create-docker-hub", settings: `{"registries":["docker.io/library"]}`},
		{request: "pod-create-lookalike",
			refused: `images from registries that are not allowed: "ghcr.io/acme-evil/web:2.1.0", ` +
				`"registry.k8s.io.example.com/pause:3.10"`},
		{request: "pod-create-image-volume",
			refused: `images from registries that are not allowed: "quay.io/models/small:v1"`},
		{request: "pod-update-ephemeral",
			refused: `images from registries that are not allowed: "busybox:1.37"`},
		{request: "cronjob-create-refused",
			refused: `images from registries that are not allowed: "quay.io/other/report:1"`},
		{request: "pod-create-odd-text",
			refused: `images from registries that are not allowed: "exa\"mple\\\u000a.com/π:1"`},
		{request: "pod-create-allowed", settings: `{}`, wantErr: "registries: a list of at least one"},
	},
	"no-latest-tag": {
		{request: "pod-create-tagged"},
		{request: "pod-create-deep"},
		{request: "pod-delete"},
		{request: "pod-create-latest", refused: latestRefused("ghcr.io/acme/web:latest")},
		{request: "pod-create-port-no-tag", refused: latestRefused("localhost:5000/web")},
		{request: "pod-create-empty-tag", refused: latestRefused("acme/web:")},
		{request: "pod-create-escaped-latest", refused: latestRefused("acme/web:latest")},
		{request: "pod-update-ephemeral-no-tag", refused: latestRefused("busybox")},
		{request: "deployment-create-init-latest", refused: latestRefused("busybox:latest")},
		{request: "cronjob-create-no-tag", refused: latestRefused("acme/report")},
		{request: "pod-create-long-image",
			refused: "an image reference is longer than 1024 bytes or no string"},
	},
	"deny-deletion": {
		{request: "vap-delete-unprotected"},
		{request: "namespace-update"},
		{request: "vap-delete-labelled", code: 403,
			refused: `ValidatingAdmissionPolicy "require-labels" is protected from deletion ` +
				`by its label "wasm-admission.example/protected"`},
		{request: "vap-delete-annotated", code: 403,
			refused: `ValidatingAdmissionPolicy "require-labels" is protected from deletion ` +
				`by its annotation "wasm-admission.example/protected"`},
		{request: "vap-delete-labelled", settings: `{"operations":["DELETE"],"protectedLabel":"other"}`},
		{request: "vap-delete-labelled", settings: `{"operations":["CONNECT"]}`},
		{request: "pod-exec-connect", code: 403, refused: `connecting to pods/exec of "web" is not allowed`},
		{request: "pod-exec-connect", settings: `{"operations":["DELETE"],"protectedLabel":"x"}`},
	},
}

const agentRefused = `Privileged container is not allowed: container "agent"`

func latestRefused(image string) string {
	return "image '" + image + "' must have a tag other than 'latest', or a digest"
}

// settingsCase is a settings object and what the policy makes of it: an error,
// a refusal whose message contains a text, or neither.
type settingsCase struct{ settings, refused, wantErr string }

var settingsCases = map[string][]settingsCase{
	"add-defaults": {
		{settings: defaultSettings["add-defaults"]},
		{settings: `{"remove":["spec"]}`},
		{settings: `{}`, refused: "nothing to add, remove or bring down"},
		{settings: `{"sidecar":{"image":"x"}}`, refused: "sidecar: a name is required"},
		{settings: `{"remove":["spec",""]}`, refused: "remove[1]: the path of a field must not be empty"},
		{settings: `{"maximums":{"":1}}`, refused: "maximums: the path of a field must not be empty"},
		{settings: `{"maximums":{"spec.replicas":1.5}}`, refused: "decode settings"},
		{settings: `{"label":{}}`, refused: `unknown field "label"`},
	},
	"pod-privileged": {
		{settings: `{}`},
		{settings: `{"skip_init_containers":true,"skip_ephemeral_containers":false}`},
		{settings: `{"skip_init_containers":"yes"}`, wantErr: "invalid type: string"},
		{settings: `{"skip":true}`, wantErr: "unknown field `skip`"},
	},
	"required-labels": {
		{settings: defaultSettings["required-labels"]},
		{settings: `{}`, refused: "labels: at least one label is required"},
		{settings: `{"labels":{}}`, refused: "labels: at least one label is required"},
		{settings: `{"labels":{"":"x"}}`, refused: "the name of a label must not be empty"},
		{settings: `{"labels":{"ok":"x","team":"["}}`, refused: `labels: label "team": error parsing regexp`},
		{settings: `{"labels":{"team":"x"},"label":{}}`, refused: `unknown field "label"`},
	},
	"allowed-registries": {
		{settings: defaultSettings["allowed-registries"]},
		{settings: `{}`, refused: "registries: a list of at least one registry is required"},
		{settings: `{"registries":[]}`, refused: "registries: a list of at least one registry is required"},
		{settings: `{"registries":["ghcr.io",7]}`, refused: "registries[1]: not a string"},
		{settings: `{"registries":["https://ghcr.io"]}`, refused: `registries[0]: "https://ghcr.io" is not of the form`},
		{settings: `{"registries":["ghcr.io/"]}`, refused: `registries[0]: "ghcr.io/" is not of the form`},
		{settings: `{"registries":["ghcr.io"],"mode":"x"}`, refused: `unknown setting "mode"`},
	},
	"drop-capabilities": {
		{settings: defaultSettings["drop-capabilities"]},
		{settings: `{"drop":["ALL"]}`},
		{settings: `{}`, wantErr: "missing field `drop`"},
		{settings: `{"drop":[]}`, refused: "drop: at least one capability is required"},
		{settings: `{"drop":["KILL","CAP_KILL"]}`, refused: `drop[1]: "CAP_KILL" is not a name such as NET_RAW`},
		{settings: `{"drop":["kill"]}`, refused: `drop[0]: "kill" is not a name`},
		{settings: `{"drop":["KILL","KILL"]}`, refused: `drop[1]: "KILL" is in the list already`},
		{settings: `{"drop":["KILL"],"add":[]}`, wantErr: "unknown field `add`"},
	},
	"always-pull": {
		{settings: `{}`},
		{settings: `{"policy":"Always"}`, refused: "this policy has no settings"},
	},
	"default-tolerations": {
		{settings: defaultSettings["default-tolerations"]},
		{settings: `{}`, refused: "tolerations: a list of at least one toleration is required"},
		{settings: `{"tolerations":[]}`, refused: "tolerations: a list of at least one toleration is required"},
		{settings: `{"toleration":[]}`, refused: `unknown setting "toleration"`},
		{settings: `{"tolerations":[7]}`, refused: "tolerations[0]: not an object"},
		{settings: `{"tolerations":[{"effect":"NoExecute"}]}`, refused: "tolerations[0]: key: a string is required"},
		{settings: `{"tolerations":[{"key":"a","keys":1}]}`, refused: `tolerations[0]: unknown field "keys"`},
		{settings: `{"tolerations":[{"key":"a","operator":"In"}]}`, refused: "tolerations[0]: operator: neither Exists nor Equal"},
		{settings: `{"tolerations":[{"key":"a","operator":"Exists","value":"b"}]}`, refused: "tolerations[0]: value: "},
		{settings: `{"tolerations":[{"key":"a","effect":7}]}`, refused: "tolerations[0]: effect: "},
		{settings: `{"tolerations":[{"key":"a","tolerationSeconds":7}]}`, refused: "tolerations[0]: tolerationSeconds: "},
		{settings: `{"tolerations":[{"key":"a"},{"key":"a","value":"b"}]}`, refused: "tolerations[1]: key and effect are those of an earlier one"},
	},
	"no-latest-tag": {
		{settings: `{}`},
		{settings: ` { } `},
		{settings: `{"allow":["x"]}`, refused: "this policy has no settings"},
	},
	"audit-logger": {
		{settings: `{}`},
		{settings: `{"level":"debug"}`, refused: `unknown field "level"`},
	},
	"deny-deletion": {
		{settings: defaultSettings["deny-deletion"]},
		{settings: `{"operations":["CONNECT"]}`},
		{settings: `{}`, refused: "operations: at least one of DELETE and CONNECT is required"},
		{settings: `{"operations":["DELETE"]}`, refused: "protectedLabel: required when operations contains DELETE"},
		{settings: `{"operations":["CONNECT","PATCH"]}`, refused: `operations[1]: "PATCH" is neither DELETE nor CONNECT`},
		{settings: `{"operations":["CONNECT"],"extra":1}`, refused: `unknown field "extra"`},
	},
}
