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

package validation

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each of these configurations has one thing wrong with it and gives one line.
func TestInvalidConfigurations(t *testing.T) {
	const (
		subdomain = `is not a DNS subdomain: write at most 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends and around each '.'`
		digest    = `must be "sha256:" and 64 lower-case hexadecimal digits: write those that sha256sum prints for the module`
		object    = `must be an object: write fields with values below settings, or {} for none`
		path      = `write file:// and the absolute path of the module`
		namespace = `is not the name of a namespace: write at most 63 lower-case letters, digits and '-', with a letter or digit at both ends`
		twice     = `is already in the list: remove one of the two`
		empty     = `a name cannot be empty: write one or remove the entry`
	)
	hex := strings.Repeat("0123456789abcdef", 4)
	long := strings.Repeat("a", 254)

	tests := []struct {
		name, config, want string
	}{
		{"no name", head + "policies: [{module: file:///a.wasm}]", `policies[0].name: Required value: a policy needs a name for messages and metrics: write one, such as no-privileged-pods`},
		{"upper-case name", head + "policies: [{name: NoPods, module: file:///a.wasm}]", `policies[NoPods].name: Invalid value: "NoPods": ` + subdomain},
		{"name with underscore", head + "policies: [{name: no_pods, module: file:///a.wasm}]", `policies[no_pods].name: Invalid value: "no_pods": ` + subdomain},
		{"long name", head + "policies: [{name: " + long + ", module: file:///a.wasm}]", `policies[` + long + `].name: Invalid value: "` + long + `": ` + subdomain},
		{"same name", head + "policies: [{name: a, module: file:///a.wasm}, {name: b, module: file:///b.wasm}, {name: a, module: file:///c.wasm}]",
			`policies[a].name: Duplicate value: "a": is the name of policies 0 and 2, counted from 0: give each policy its own`},

		{"no module", head + "policies: [{name: a}]", `policies[a].module: Required value: a policy needs a module: write its URI, such as file:///etc/kubernetes/wasm-admission/policy.wasm`},
		{"registry", module("registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3"), `policies[a].module: Invalid value: "registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3": modules from registries are not supported yet: pull the module into a file and ` + path},
		{"https", module("https://example.com/a.wasm"), `policies[a].module: Invalid value: "https://example.com/a.wasm": modules from https servers are not supported yet: download the module into a file and ` + path},
		{"http", module("http://example.com/a.wasm"), `policies[a].module: Invalid value: "http://example.com/a.wasm": modules from http servers are not supported yet: download the module into a file and ` + path},
		{"unknown scheme", module("s3://bucket/a.wasm"), `policies[a].module: Invalid value: "s3://bucket/a.wasm": has the unknown scheme "s3": ` + path},
		{"upper-case scheme", module("FILE:///a.wasm"), `policies[a].module: Invalid value: "FILE:///a.wasm": has the unknown scheme "FILE": ` + path},
		{"no scheme", module("/etc/a.wasm"), `policies[a].module: Invalid value: "/etc/a.wasm": has no scheme: ` + path},
		{"no slashes", module("file:/etc/a.wasm"), `policies[a].module: Invalid value: "file:/etc/a.wasm": lacks "//" after file: ` + path},
		{"no path", module("file://"), `policies[a].module: Invalid value: "file://": names no file: ` + path},
		{"root", module("file:///"), `policies[a].module: Invalid value: "file:///": names no file: ` + path},
		{"relative file", module("file://a.wasm"), `policies[a].module: Invalid value: "file://a.wasm": holds a relative path, and there is no directory that it could start from: ` + path},
		{"relative path", module("file://./policies/a.wasm"), `policies[a].module: Invalid value: "file://./policies/a.wasm": holds a relative path, and there is no directory that it could start from: ` + path},
		{"host", module("file://server/a.wasm"), `policies[a].module: Invalid value: "file://server/a.wasm": names the host "server", and only files of this machine can be read: ` + path + `, which begins with /`},
		{"unclean path", module("file:///etc/../a.wasm"), `policies[a].module: Invalid value: "file:///etc/../a.wasm": does not hold a clean path: write file:///a.wasm`},
		{"directory", module("file:///etc/a/"), `policies[a].module: Invalid value: "file:///etc/a/": does not hold a clean path: write file:///etc/a`},
		{"query", module("file:///a.wasm?x=1"), `policies[a].module: Invalid value: "file:///a.wasm?x=1": has a query, which means nothing for a file: remove it, or rename a file that has ? in its name`},
		{"fragment", module("file:///a.wasm#x"), `policies[a].module: Invalid value: "file:///a.wasm#x": has a fragment, which means nothing for a file: remove it, or rename a file that has # in its name`},
		{"percent", module("file:///a%20b.wasm"), `policies[a].module: Invalid value: "file:///a%20b.wasm": holds %, and paths are not percent-encoded: write the path as it is, or rename a file that has % in its name`},
		{"control character", module("file:///a\n.wasm"), `policies[a].module: Invalid value: "file:///a\n.wasm": holds a control character: rename the file`},
		{"long path", module("file:///" + strings.Repeat("a", 4096)), `policies[a].module: Too long: may not be more than 4103 bytes`},

		{"other digest", policy("digest: sha512:" + hex + hex), `policies[a].digest: Invalid value: "sha512:` + hex + hex + `": ` + digest},
		{"bare digest", policy("digest: " + hex), `policies[a].digest: Invalid value: "` + hex + `": ` + digest},
		{"short digest", policy("digest: sha256:" + hex[1:]), `policies[a].digest: Invalid value: "sha256:` + hex[1:] + `": ` + digest},
		{"upper-case digest", policy("digest: sha256:" + strings.ToUpper(hex)), `policies[a].digest: Invalid value: "sha256:` + strings.ToUpper(hex) + `": ` + digest},

		{"settings a list", policy("settings: [1]"), `policies[a].settings: Invalid value: "[1]": ` + object},
		{"settings a text", policy("settings: x"), `policies[a].settings: Invalid value: "\"x\"": ` + object},
		{"settings a long text", policy("settings: " + long), `policies[a].settings: Invalid value: "\"` + long[:63] + `…": ` + object},
		{"settings with a field twice", strings.ReplaceAll(`{"apiVersion":"wasm.admission.config.k8s.io/v1alpha1","kind":"WasmAdmissionConfiguration",
			"policies":[{"name":"a","module":"file:///a.wasm","settings":{"x":[{"y":1},{"y":{"z":1},"z":"y","y":2}]}}]}`, "\t", ""),
			`policies[a].settings: Duplicate value: "y": occurs twice in one object: remove one of the two`},

		{"empty rules", policy("rules: []"), `policies[a].rules: Required value: an empty list matches nothing: write at least one rule, or remove the field to take those of the module`},
		{"no operations", rule("operations", "[]"), `policies[a].rules[0].operations: Required value: write at least one operation, such as CREATE, or "*" for all`},
		{"unknown operation", rule("operations", "[create]"), `policies[a].rules[0].operations[0]: Unsupported value: "create": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"`},
		{"empty operation", rule("operations", `[CREATE, ""]`), `policies[a].rules[0].operations[1]: Unsupported value: "": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"`},
		{"operations and all", rule("operations", `["*", CREATE]`), `policies[a].rules[0].operations: Invalid value: ["*","CREATE"]: "*" includes all operations: remove it or the others`},
		{"no groups", rule("apiGroups", "[]"), `policies[a].rules[0].apiGroups: Required value: write at least one API group, "" for the core group or "*" for all`},
		{"groups and all", rule("apiGroups", `[apps, "*"]`), `policies[a].rules[0].apiGroups: Invalid value: ["apps","*"]: "*" includes all API groups: remove it or the others`},
		{"no versions", rule("apiVersions", "[]"), `policies[a].rules[0].apiVersions: Required value: write at least one API version, such as v1, or "*" for all`},
		{"empty version", rule("apiVersions", `[""]`), `policies[a].rules[0].apiVersions[0]: Required value: an API version cannot be empty: write one, such as v1`},
		{"versions and all", rule("apiVersions", `[v1, "*"]`), `policies[a].rules[0].apiVersions: Invalid value: ["v1","*"]: "*" includes all API versions: remove it or the others`},
		{"no resources", rule("resources", "[]"), `policies[a].rules[0].resources: Required value: write at least one resource, such as pods, or "*" for all`},
		{"empty resource", rule("resources", `[pods, ""]`), `policies[a].rules[0].resources[1]: Required value: a resource cannot be empty: write one, such as pods`},
		{"resources and all", rule("resources", `["*", pods]`), `policies[a].rules[0].resources[1]: Invalid value: "pods": is included in "*", which is in the list too: remove one of the two`},
		{"resources and really all", rule("resources", `["*/*", pods, pods/status, pods/*]`), `policies[a].rules[0].resources: Invalid value: ["*/*","pods","pods/status","pods/*"]: "*/*" includes all resources: remove it or the others`},
		{"subresource and its wildcard", rule("resources", `[pods, pods/status, pods/*]`), `policies[a].rules[0].resources[1]: Invalid value: "pods/status": is included in "pods/*", which is in the list too: remove one of the two`},
		{"subresource of every resource", rule("resources", `["*/scale", deployments/scale]`), `policies[a].rules[0].resources[1]: Invalid value: "deployments/scale": is included in "*/scale", which is in the list too: remove one of the two`},
		{"no subresource", rule("resources", `[pods/]`), `policies[a].rules[0].resources[0]: Invalid value: "pods/": is no resource: write one, such as pods, or a subresource, such as pods/status`},
		{"subresource alone", rule("resources", `[/status]`), `policies[a].rules[0].resources[0]: Invalid value: "/status": is no resource: write one, such as pods, or a subresource, such as pods/status`},
		{"resource with group", rule("resources", `[apps/deployments/scale]`), `policies[a].rules[0].resources[0]: Invalid value: "apps/deployments/scale": is no resource: write one, such as pods, or a subresource, such as pods/status`},
		{"unknown scope", rule("scope", "Namespace"), `policies[a].rules[0].scope: Unsupported value: "Namespace": supported values: "*", "Cluster", "Namespaced"`},

		{"namespace selector", policy("namespaceSelector: {matchExpressions: [{key: a, operator: In}]}"), "policies[a].namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"},
		{"object selector", policy("objectSelector: {matchExpressions: [{key: a, operator: Is}]}"), `policies[a].objectSelector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator`},
		{"selector label", policy("objectSelector: {matchLabels: {a: '?'}}"), `policies[a].objectSelector.matchLabels: Invalid value: "?": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`},

		{"too many conditions", policy("matchConditions: [" + strings.Repeat(`{name: c, expression: "true"},`, 65) + "]"), `policies[a].matchConditions: Too many: 65: must have at most 64 items`},
		{"condition without name", policy("matchConditions: [{expression: 'true'}]"), `policies[a].matchConditions[0].name: Required value: a match condition needs a name for messages: write one, such as not-a-lease`},
		{"condition with a bad name", policy("matchConditions: [{name: -a, expression: 'true'}]"), `policies[a].matchConditions[0].name: Invalid value: "-a": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`},
		{"conditions of one name", policy("matchConditions: [{name: c, expression: 'true'}, {name: c, expression: 'false'}]"), `policies[a].matchConditions[1].name: Duplicate value: "c": is the name of an earlier condition: give each condition its own`},
		{"condition without expression", policy("matchConditions: [{name: c, expression: ' '}]"), `policies[a].matchConditions[0].expression: Required value: write a CEL expression that is true for the requests to match, such as request.resource.resource != "leases"`},
		{"broken expression", policy("matchConditions: [{name: c, expression: 'object.'}]"), `policies[a].matchConditions[0].expression: Invalid value: "object.": compilation failed: ERROR: <input>:1:8: Syntax error: no viable alternative at input '.'`},
		{"expression without variables", policy("matchConditions: [{name: c, expression: params.x == 1}]"), `policies[a].matchConditions[0].expression: Invalid value: "params.x == 1": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')`},
		{"expression of another type", policy("matchConditions: [{name: c, expression: '1 + 1'}]"), `policies[a].matchConditions[0].expression: Invalid value: "1 + 1": must evaluate to bool but got int`},
		{"expression in lines", policy("matchConditions:\n- name: c\n  expression: |-\n    a ||\n    b"), `policies[a].matchConditions[0].expression: Invalid value: "a ||\nb": compilation failed: ERROR: <input>:1:1: undeclared reference to 'a' (in container ''); ERROR: <input>:2:1: undeclared reference to 'b' (in container '')`},

		{"failure policy", policy("failurePolicy: fail"), `policies[a].failurePolicy: Unsupported value: "fail": supported values: "Fail", "Ignore"`},
		{"match policy", policy("matchPolicy: Similar"), `policies[a].matchPolicy: Unsupported value: "Similar": supported values: "Equivalent", "Exact"`},
		{"no time", policy("timeoutEvalSeconds: 0"), `policies[a].timeoutEvalSeconds: Invalid value: 0: must be between 1 and 30, in seconds`},
		{"much time", policy("timeoutEvalSeconds: 31"), `policies[a].timeoutEvalSeconds: Invalid value: 31: must be between 1 and 30, in seconds`},
		{"long message", policy("message: " + strings.Repeat("m", 1025)), `policies[a].message: Too long: may not be more than 1024 bytes`},
		{"monitor", policy("mode: monitor"), `policies[a].mode: Forbidden: mode "monitor" is not supported yet: write "protect" or remove the field`},
		{"unknown mode", policy("mode: audit"), `policies[a].mode: Unsupported value: "audit": supported values: "protect"`},
		{"mutating", policy("mutating: true"), `policies[a].mutating: Forbidden: mutating policies are not supported yet: write false or remove the field, and the policy may only accept and reject`},
		{"context", policy("contextAwareResources: [{apiVersion: v1, kind: Namespace}]"), `policies[a].contextAwareResources: Forbidden: policies that read the cluster are not supported yet: remove the field`},
		{"capability group", policy("hostCapabilities: ['*', oci]"), `policies[a].hostCapabilities[1]: Invalid value: "oci": names a group of capabilities: write "oci/*" for all of it, or add one of v1, v2`},
		{"capability", policy("hostCapabilities: ['oci/*', kubernetes/can_i]"), `policies[a].hostCapabilities: Forbidden: no host capability that needs a grant is supported yet: remove the field; tracing/log works without one`},
		{"capability twice", policy("hostCapabilities: ['oci/*', 'oci/*']"), `policies[a].hostCapabilities[1]: Duplicate value: "oci/*": ` + twice},
		{"side effects", policy("sideEffects: Any"), `policies[a].sideEffects: Unsupported value: "Any": supported values: "None", "NoneOnDryRun", "Some", "Unknown"`},
		{"webhook timeout", policy("timeoutSeconds: 31"), `policies[a].timeoutSeconds: Invalid value: 31: must be between 1 and 30, in seconds`},

		{"policy directory", head + "policyDirectory: /etc/policies", `policyDirectory: Forbidden: policy directories are not supported yet: list the policies under policies and remove this field`},
		{"relative directory", head + "stateDirectory: var/lib", `stateDirectory: Invalid value: "var/lib": is a relative path: write the absolute path of a directory`},
		{"unclean directory", head + "stateDirectory: /var/lib/", `stateDirectory: Invalid value: "/var/lib/": is not a clean path: write /var/lib`},
		{"root directory", head + "stateDirectory: /", `stateDirectory: Invalid value: "/": is the root directory: write one of its own, such as /var/lib/kubernetes/wasm-admission`},
		{"long directory", head + "stateDirectory: /" + strings.Repeat("a", 4096), `stateDirectory: Too long: may not be more than 4096 bytes`},
		{"directory with control character", head + `stateDirectory: "/a\tb"`, `stateDirectory: Invalid value: "/a\tb": holds a control character: write a path without one`},

		{"no module size", head + "limits: {moduleSize: 0}", `limits.moduleSize: Invalid value: 0: must be between 1 and 1Gi, in bytes`},
		{"large module size", head + "limits: {moduleSize: 1025Mi}", `limits.moduleSize: Invalid value: 1074790400: must be between 1 and 1Gi, in bytes`},
		{"no memory", head + "limits: {memory: 0}", `limits.memory: Invalid value: 0: must be between 64Ki and 4Gi, in bytes`},
		{"much memory", head + "limits: {memory: 8Ei}", `limits.memory: Invalid value: 9223372036854775807: must be between 64Ki and 4Gi, in bytes`},
		{"negative memory", head + "limits: {memory: -64Ki}", `limits.memory: Invalid value: -65536: must be between 64Ki and 4Gi, in bytes`},
		{"part of a page", head + "limits: {memory: 100k}", `limits.memory: Invalid value: 100000: must be a multiple of 64Ki, the page of WebAssembly: write 65536 or 131072`},
		{"request size", head + "limits: {requestSize: 65Mi}", `limits.requestSize: Invalid value: 68157440: must be between 1 and 64Mi, in bytes`},
		{"response size", head + "limits: {responseSize: 0}", `limits.responseSize: Invalid value: 0: must be between 1 and 64Mi, in bytes`},
		{"payload size", head + "limits: {hostCallPayloadSize: -1}", `limits.hostCallPayloadSize: Invalid value: -1: must be between 1 and 64Mi, in bytes`},
		{"log line size", head + "limits: {logLineSize: 65Ki}", `limits.logLineSize: Invalid value: 66560: must be between 1 and 64Ki, in bytes`},
		{"host calls", head + "limits: {hostCalls: 100001}", `limits.hostCalls: Invalid value: 100001: must be between 1 and 100000`},
		{"log lines", head + "limits: {guestLogLinesPerSecond: 0}", `limits.guestLogLinesPerSecond: Invalid value: 0: must be between 1 and 10000`},
		{"no timeout", head + "limits: {evaluationTimeout: 0s}", `limits.evaluationTimeout: Invalid value: "0s": must be between 1ms and 30s`},
		{"long timeout", head + "limits: {evaluationTimeout: 1m}", `limits.evaluationTimeout: Invalid value: "1m0s": must be between 1ms and 30s`},

		{"empty user", head + `exemptions: {usernames: [a, ""]}`, `exemptions.usernames[1]: Required value: ` + empty},
		{"user twice", head + `exemptions: {usernames: [a, b, a]}`, `exemptions.usernames[2]: Duplicate value: "a": ` + twice},
		{"empty group", head + `exemptions: {groups: [""]}`, `exemptions.groups[0]: Required value: ` + empty},
		{"group twice", head + `exemptions: {groups: [a, a]}`, `exemptions.groups[1]: Duplicate value: "a": ` + twice},
		{"empty namespace", head + `exemptions: {namespaces: [""]}`, `exemptions.namespaces[0]: Required value: ` + empty},
		{"namespace with a dot", head + `exemptions: {namespaces: [kube.system]}`, `exemptions.namespaces[0]: Invalid value: "kube.system": ` + namespace},
		{"namespace wildcard", head + `exemptions: {namespaces: ["*"]}`, `exemptions.namespaces[0]: Invalid value: "*": ` + namespace},
		{"namespace twice", head + `exemptions: {namespaces: [a, a]}`, `exemptions.namespaces[1]: Duplicate value: "a": ` + twice},
	}
	require.GreaterOrEqual(t, len(tests), 55)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, []string{test.want}, lines(ValidateConfiguration(parse(t, test.config))))
			require.NotContains(t, test.want, "\n")
		})
	}
}
