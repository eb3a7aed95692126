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
		hostPattern = "is no pattern of hosts: write host or host:port in lower case, such as registry.example.com:5000, *.example.com for the names below a domain, or * for every name"

		subdomain = `is not a DNS subdomain: write at most 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends and around each '.'`
		digest    = `must be "sha256:" and 64 lower-case hexadecimal digits: write those that sha256sum prints for the module`
		object    = `must be an object: write fields with values below settings, or {} for none`
		path      = `write file:// and the absolute path of the module`
		uri       = `write file:// and an absolute path, registry:// and a reference, https://, or oci-layout://`
		reference = `write registry://host/repository:tag or registry://host/repository@sha256:…`
		inLayout  = `write oci-layout:///path:host/repository:tag, oci-layout:///path:tag or oci-layout:///path@sha256:…`
		server    = `write https://, a host and a path`
		host      = `write host or host:port in lower case, such as registry.example.com:5000`
		mirror    = `write registry:// or https:// and a host, such as registry://ghcr.io/kubewarden/`
		inPolicy  = `is in the policy directory, whose files are read as manifests: put it elsewhere`
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

		{"no module", head + "policies: [{name: a}]", `policies[a].module: Required value: a policy needs a module: write its URI, such as file:///etc/kubernetes/wasm-admission/policy.wasm or registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3`},
		{"unknown scheme", module("s3://bucket/a.wasm"), `policies[a].module: Invalid value: "s3://bucket/a.wasm": has the unknown scheme "s3": ` + uri},
		{"upper-case scheme", module("FILE:///a.wasm"), `policies[a].module: Invalid value: "FILE:///a.wasm": has the unknown scheme "FILE": ` + uri},
		{"no scheme", module("/etc/a.wasm"), `policies[a].module: Invalid value: "/etc/a.wasm": has no scheme: ` + uri},
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

		{"registry without state", module("registry://ghcr.io/policies/a:v1"), `policies[a].module: Invalid value: "registry://ghcr.io/policies/a:v1": is in a registry, and there is no directory to keep modules from registries in: set stateDirectory`},
		{"registry without repository", remote("registry://ghcr.io"), `policies[a].module: Invalid value: "registry://ghcr.io": is no reference to an artifact, missing registry or repository: ` + reference},
		{"registry without host", remote("registry:///a:v1"), `policies[a].module: Invalid value: "registry:///a:v1": is no reference to an artifact, invalid registry "": ` + reference},
		{"upper-case repository", remote("registry://ghcr.io/A:v1"), `policies[a].module: Invalid value: "registry://ghcr.io/A:v1": is no reference to an artifact, invalid repository "A": ` + reference},
		{"upper-case registry", remote("registry://GHCR.io/a:v1"), `policies[a].module: Invalid value: "registry://GHCR.io/a:v1": does not name a host, "GHCR.io" is no DNS name or address: ` + host},
		{"registry port", remote("registry://ghcr.io:0/a:v1"), `policies[a].module: Invalid value: "registry://ghcr.io:0/a:v1": has the port "0", which is no number from 1 to 65535: ` + host},
		{"tag", remote("registry://ghcr.io/a:-1"), `policies[a].module: Invalid value: "registry://ghcr.io/a:-1": is no reference to an artifact, invalid tag "-1": ` + reference},
		{"empty tag", remote("registry://ghcr.io/a:"), `policies[a].module: Invalid value: "registry://ghcr.io/a:": has an empty tag: write one or remove the colon`},
		{"tag beside a digest", remote("registry://ghcr.io/a:-1@sha256:" + hex), `policies[a].module: Invalid value: "registry://ghcr.io/a:-1@sha256:` + hex + `": is no reference to an artifact, invalid tag "-1": ` + reference},
		{"manifest digest", remote("registry://ghcr.io/a@sha512:" + hex + hex), `policies[a].module: Invalid value: "registry://ghcr.io/a@sha512:` + hex + hex + `": has something else than a digest after the @: write "sha256:" and 64 lower-case hexadecimal digits`},
		{"empty manifest digest", remote("registry://ghcr.io/a@"), `policies[a].module: Invalid value: "registry://ghcr.io/a@": has something else than a digest after the @: write "sha256:" and 64 lower-case hexadecimal digits`},
		{"registry with a user", remote("registry://me:secret@ghcr.io/a:v1"), `policies[a].module: Invalid value: "registry://…@ghcr.io/a:v1": has something else than a digest after the @: write "sha256:" and 64 lower-case hexadecimal digits`},
		{"registry with a query", remote("registry://ghcr.io/a:v1?secret"), `policies[a].module: Invalid value: "registry://ghcr.io/a:v1?…": is no reference to an artifact: ` + reference},
		{"long reference", remote("registry://ghcr.io/" + strings.Repeat("a", 4096)), `policies[a].module: Too long: may not be more than 4107 bytes`},

		{"http", remote("http://example.com/a.wasm"), `policies[a].module: Invalid value: "http://example.com/a.wasm": would be fetched without TLS: write https://, or add example.com to sources.insecure`},
		{"http, other port", remote("http://insecure.example.com:8080/a.wasm"), `policies[a].module: Invalid value: "http://insecure.example.com:8080/a.wasm": would be fetched without TLS: write https://, or add insecure.example.com:8080 to sources.insecure`},
		{"layout without name", module("oci-layout:///a.tar"), `policies[a].module: Invalid value: "oci-layout:///a.tar": does not name what is meant of the layout: ` + inLayout},
		{"relative layout of a module", module("oci-layout://a.tar:v1"), `policies[a].module: Invalid value: "oci-layout://a.tar:v1": is no artifact in a layout, the path of a layout must be absolute and clean: ` + inLayout},
		{"layout with an odd path", module("oci-layout:///a%20b:v1"), `policies[a].module: Invalid value: "oci-layout:///a%20b:v1": holds %, and paths are not percent-encoded: write the path as it is, or rename a file that has % in its name`},
		{"https with a user", remote("https://me:secret@example.com/a.wasm"), `policies[a].module: Invalid value: "https://…@example.com/a.wasm": holds a user, and would be logged with the password: write credentials into sources.dockerConfig, or serve the module without`},
		{"https with a query", remote("https://example.com/a.wasm?secret"), `policies[a].module: Invalid value: "https://example.com/a.wasm?…": has a query, which may be a secret and would be logged: serve the module at a path of its own`},
		{"https with an empty query", remote("https://example.com/a.wasm?"), `policies[a].module: Invalid value: "https://example.com/a.wasm?…": has a query, which may be a secret and would be logged: serve the module at a path of its own`},
		{"https with a fragment", remote("https://example.com/a.wasm#a"), `policies[a].module: Invalid value: "https://example.com/a.wasm#a": has a fragment, which no server sees: remove it`},
		{"https without path", remote("https://example.com/"), `policies[a].module: Invalid value: "https://example.com/": names no file: ` + server},
		{"https without host", remote("https:///a.wasm"), `policies[a].module: Invalid value: "https:///a.wasm": does not name a host, "" is no DNS name or address: ` + host},
		{"https host", remote("https://exa_mple.com/a.wasm"), `policies[a].module: Invalid value: "https://exa_mple.com/a.wasm": does not name a host, "exa_mple.com" is no DNS name or address: ` + host},
		{"broken https", remote("https://example.com/%zz"), `policies[a].module: Invalid value: "https://example.com/%zz": cannot be parsed, invalid URL escape "%zz": ` + server},

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
		{"expression without variables", policy("matchConditions: [{name: c, expression: params.x == 1}]"), `policies[a].matchConditions[0].expression: Invalid value: "params.x == 1": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params': match conditions know object, oldObject, request, namespaceObject and authorizer`},
		{"expression with variables of a CEL policy", policy("matchConditions: [{name: c, expression: variables.x == 1}]"), `policies[a].matchConditions[0].expression: Invalid value: "variables.x == 1": compilation failed: ERROR: <input>:1:1: undeclared reference to 'variables': match conditions know object, oldObject, request, namespaceObject and authorizer`},
		{"expression of another type", policy("matchConditions: [{name: c, expression: '1 + 1'}]"), `policies[a].matchConditions[0].expression: Invalid value: "1 + 1": must evaluate to bool but got int`},
		{"expression in lines", policy("matchConditions:\n- name: c\n  expression: |-\n    a ||\n    b"), `policies[a].matchConditions[0].expression: Invalid value: "a ||\nb": compilation failed: ERROR: <input>:1:1: undeclared reference to 'a'; ERROR: <input>:2:1: undeclared reference to 'b': match conditions know object, oldObject, request, namespaceObject and authorizer`},

		{"failure policy", policy("failurePolicy: fail"), `policies[a].failurePolicy: Unsupported value: "fail": supported values: "Fail", "Ignore"`},
		{"match policy", policy("matchPolicy: Similar"), `policies[a].matchPolicy: Unsupported value: "Similar": supported values: "Equivalent", "Exact"`},
		{"no time", policy("timeoutEvalSeconds: 0"), `policies[a].timeoutEvalSeconds: Invalid value: 0: must be between 1 and 30, in seconds`},
		{"much time", policy("timeoutEvalSeconds: 31"), `policies[a].timeoutEvalSeconds: Invalid value: 31: must be between 1 and 30, in seconds`},
		{"long message", policy("message: " + strings.Repeat("m", 1025)), `policies[a].message: Too long: may not be more than 1024 bytes`},
		{"unknown mode", policy("mode: audit"), `policies[a].mode: Unsupported value: "audit": supported values: "protect", "monitor"`},
		{"reinvocation", policy("mutating: true\nreinvocationPolicy: Always"), `policies[a].reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never"`},
		{"capability group", policy("hostCapabilities: ['*', oci]"), `policies[a].hostCapabilities[1]: Invalid value: "oci": names a group of capabilities: write "oci/*" for all of it, or add one of v1, v2`},
		{"no kind", policy("contextAwareResources: [{apiVersion: v1}]"), `policies[a].contextAwareResources[0].kind: Required value: write the kind, such as Deployment`},
		{"member's capability", member("module: file:///a.wasm, hostCapabilities: [oci]"), `policyGroups[g].policies[one].hostCapabilities[0]: Invalid value: "oci": names a group of capabilities: write "oci/*" for all of it, or add one of v1, v2`},
		{"all-powerful group", head + "capabilities: {kubernetes: {groups: [a, system:masters]}}", `capabilities.kubernetes.groups[1]: Invalid value: "system:masters": may do everything, and policies would see everything: bind a role to the user instead`},
		{"group without name", head + "capabilities: {kubernetes: {groups: ['']}}", `capabilities.kubernetes.groups[0]: Required value: a name cannot be empty: write one or remove the entry`},
		{"secret reader twice", head + "capabilities: {kubernetes: {secretReaders: [a, a]}}", `capabilities.kubernetes.secretReaders[1]: Duplicate value: "a": is already in the list: remove one of the two`},
		{"memory for the cluster", head + "capabilities: {kubernetes: {memorySize: 1Ki}}", `capabilities.kubernetes.memorySize: Invalid value: 1024: must be between 1Mi and 64Gi, in bytes`},
		{"idle timeout", head + "capabilities: {kubernetes: {idleTimeout: 1s}}", `capabilities.kubernetes.idleTimeout: Invalid value: "1s": must be between 1m and 24h`},
		{"no objects kept", head + "capabilities: {kubernetes: {getResource: {cacheEntries: 0}}}", `capabilities.kubernetes.getResource.cacheEntries: Invalid value: 0: must be between 1 and 100000`},
		{"many objects kept", head + "capabilities: {kubernetes: {getResource: {cacheEntries: 100001}}}", `capabilities.kubernetes.getResource.cacheEntries: Invalid value: 100001: must be between 1 and 100000`},
		{"small objects kept", head + "capabilities: {kubernetes: {getResource: {cacheSize: 65535}}}", `capabilities.kubernetes.getResource.cacheSize: Invalid value: 65535: must be between 64Ki and 1Gi, in bytes`},
		{"objects kept for long", head + "capabilities: {kubernetes: {getResource: {cacheTTL: 2m}}}", `capabilities.kubernetes.getResource.cacheTTL: Invalid value: "2m0s": must be between 1s and 1m`},
		{"no reviews kept", head + "capabilities: {kubernetes: {canI: {cacheEntries: -1}}}", `capabilities.kubernetes.canI.cacheEntries: Invalid value: -1: must be between 1 and 100000`},
		{"large reviews kept", head + "capabilities: {kubernetes: {canI: {cacheSize: 2Gi}}}", `capabilities.kubernetes.canI.cacheSize: Invalid value: 2147483648: must be between 64Ki and 1Gi, in bytes`},
		{"reviews not kept", head + "capabilities: {kubernetes: {canI: {cacheTTL: 0s}}}", `capabilities.kubernetes.canI.cacheTTL: Invalid value: "0s": must be between 1s and 1m`},
		{"pattern in a name", head + `capabilities: {oci: {registries: ["reg*.example.com"]}}`, `capabilities.oci.registries[0]: Invalid value: "reg*.example.com": ` + hostPattern},
		{"pattern of a path", head + `capabilities: {oci: {registries: ["ghcr.io/kubewarden"]}}`, `capabilities.oci.registries[0]: Invalid value: "ghcr.io/kubewarden": ` + hostPattern},
		{"pattern with nothing below", head + `capabilities: {oci: {redirects: ["*."]}}`, `capabilities.oci.redirects[0]: Invalid value: "*.": ` + hostPattern},
		{"registry twice", head + `capabilities: {oci: {registries: [a, a]}}`, `capabilities.oci.registries[1]: Duplicate value: "a": is already in the list: remove one of the two`},
		{"many registries", head + `capabilities: {oci: {registries: [` + strings.Repeat("a,", 101) + `]}}`, `capabilities.oci.registries: Too many: 101: must have at most 100 items`},
		{"address that is no range", head + `capabilities: {oci: {deniedRanges: [203.0.113.7]}}`, `capabilities.oci.deniedRanges[0]: Invalid value: "203.0.113.7": is no range of addresses: write a CIDR, such as 203.0.113.0/24 or 2001:db8::/48`},
		{"range with more bits", head + `capabilities: {oci: {deniedRanges: [203.0.113.7/24]}}`, `capabilities.oci.deniedRanges[0]: Invalid value: "203.0.113.7/24": is not in canonical form: write 203.0.113.0/24 if that is meant`},
		{"range in another form", head + `capabilities: {oci: {deniedRanges: ["::ffff:203.0.113.0/120"]}}`, `capabilities.oci.deniedRanges[0]: Invalid value: "::ffff:203.0.113.0/120": is a range of IPv4 in terms of IPv6: write the one of IPv4`},
		{"range twice", head + `capabilities: {oci: {deniedRanges: [192.0.2.0/24, 192.0.2.0/24]}}`, `capabilities.oci.deniedRanges[1]: Duplicate value: "192.0.2.0/24": is already in the list: remove one of the two`},
		{"many ranges", head + `capabilities: {oci: {deniedRanges: [` + strings.Repeat("a,", 101) + `]}}`, `capabilities.oci.deniedRanges: Too many: 101: must have at most 100 items`},
		{"answers about images", head + "capabilities: {oci: {cacheEntries: 0}}", `capabilities.oci.cacheEntries: Invalid value: 0: must be between 1 and 100000`},
		{"images that are large", head + "capabilities: {oci: {cacheSize: 2Gi}}", `capabilities.oci.cacheSize: Invalid value: 2147483648: must be between 64Ki and 1Gi, in bytes`},
		{"images kept for long", head + "capabilities: {oci: {cacheTTL: 2h}}", `capabilities.oci.cacheTTL: Invalid value: "2h0m0s": must be between 1s and 1h`},
		{"failures kept for longer", head + "capabilities: {oci: {failureTTL: 61s}}", `capabilities.oci.failureTTL: Invalid value: "1m1s": must be between 100ms and 1m`},
		{"stale images", head + "capabilities: {oci: {staleTTL: 25h}}", `capabilities.oci.staleTTL: Invalid value: "25h0m0s": must be between 0s and 24h`},
		{"long looks", head + "capabilities: {oci: {lookTimeout: 2m}}", `capabilities.oci.lookTimeout: Invalid value: "2m0s": must be between 100ms and 1m`},
		{"looks of a policy", head + "capabilities: {oci: {policyLooks: 0}}", `capabilities.oci.policyLooks: Invalid value: 0: must be between 1 and 1000`},
		{"looks at a registry", head + "capabilities: {oci: {registryLooks: 1001}}", `capabilities.oci.registryLooks: Invalid value: 1001: must be between 1 and 1000`},
		{"dns entries", head + "capabilities: {dns: {cacheEntries: 0}}", `capabilities.dns.cacheEntries: Invalid value: 0: must be between 1 and 100000`},
		{"dns ttl", head + "capabilities: {dns: {cacheTTL: 61s}}", `capabilities.dns.cacheTTL: Invalid value: "1m1s": must be between 1s and 1m`},
		{"capability twice", policy("hostCapabilities: ['oci/*', 'oci/*']"), `policies[a].hostCapabilities[1]: Duplicate value: "oci/*": ` + twice},
		{"side effects", policy("sideEffects: Any"), `policies[a].sideEffects: Unsupported value: "Any": supported values: "None", "NoneOnDryRun", "Some", "Unknown"`},
		{"webhook timeout", policy("timeoutSeconds: 31"), `policies[a].timeoutSeconds: Invalid value: 31: must be between 1 and 30, in seconds`},

		{"no group name", group("g", "name", ""), `policyGroups[0].name: Required value: a policy needs a name for messages and metrics: write one, such as no-privileged-pods`},
		{"group name", group("g", "name", "G"), `policyGroups[G].name: Invalid value: "G": ` + subdomain},
		{"groups of one name", groups("g", "h", "g"), `policyGroups[g].name: Duplicate value: "g": is the name of groups 0 and 2, counted from 0: give each group its own`},
		{"group and policy of one name", groups("a") + "policies: [{name: b, module: file:///b.wasm}, {name: a, module: file:///a.wasm}]",
			`policyGroups[a].name: Duplicate value: "a": is the name of policy 1 too, counted from 0: give the group its own`},
		{"no expression", group("g", "expression", `" "`), `policyGroups[g].expression: Required value: write a CEL expression over the members that is true for the requests to admit, such as a() && b()`},
		{"expression without the member", group("g", "expression", "one() && two()"), `policyGroups[g].expression: Invalid value: "one() && two()": line 1, column 13: two is no member of the group: correct its name or add it to policies`},
		{"expression of other operators", group("g", "expression", "'one() ? true : false'"), `policyGroups[g].expression: Invalid value: "one() ? true : false": line 1, column 7: only the operators ==, !=, ||, && and ! can be used`},
		{"broken group expression", group("g", "expression", "one() &&"), `policyGroups[g].expression: Invalid value: "one() &&": line 1, column 9: Syntax error: mismatched input '<EOF>'`},
		{"long group expression", group("g", "expression", strings.Repeat("(", 8192)+"one()"), `policyGroups[g].expression: Invalid value: "` + strings.Repeat("(", 64) + `…": has 8197 bytes: write at most 8192`},
		{"group without message", group("g", "message", ""), `policyGroups[g].message: Required value: a group needs a message for those whose requests it rejects: write one`},
		{"long group message", group("g", "message", strings.Repeat("m", 1025)), `policyGroups[g].message: Too long: may not be more than 1024 bytes`},
		{"group without rules", group("g", "rules", "[]"), `policyGroups[g].rules: Required value: a group needs rules of its own, as its modules may have different ones: write at least one rule`},
		{"rule of a group", group("g", "rules", "[{operations: [CREATE], apiGroups: [''], apiVersions: [v1]}]"), `policyGroups[g].rules[0].resources: Required value: write at least one resource, such as pods, or "*" for all`},
		{"group failure policy", group("g", "failurePolicy", "fail"), `policyGroups[g].failurePolicy: Unsupported value: "fail": supported values: "Fail", "Ignore"`},
		{"group mode", group("g", "mode", "audit"), `policyGroups[g].mode: Unsupported value: "audit": supported values: "protect", "monitor"`},
		{"group timeout", group("g", "timeoutSeconds", "31"), `policyGroups[g].timeoutSeconds: Invalid value: 31: must be between 1 and 30, in seconds`},
		{"group side effects", group("g", "sideEffects", "Any"), `policyGroups[g].sideEffects: Unsupported value: "Any": supported values: "None", "NoneOnDryRun", "Some", "Unknown"`},
		{"member name", group("g", "policies", "{one: {module: file:///a.wasm}, no-pods: {module: file:///a.wasm}}"), `policyGroups[g].policies[no-pods]: Invalid value: "no-pods": cannot be called in an expression: write letters, digits and '_', no digit first, and no reserved word of CEL`},
		{"reserved member name", group("g", "policies", "{one: {module: file:///a.wasm}, in: {module: file:///a.wasm}}"), `policyGroups[g].policies[in]: Invalid value: "in": cannot be called in an expression: write letters, digits and '_', no digit first, and no reserved word of CEL`},
		{"many members", group("g", "policies", "{one: {module: file:///a.wasm}"+strings.Repeat(", m%d: {}", 64)+"}"), `policyGroups[g].policies: Too many: 65: must have at most 64 items`},
		{"member without module", member(""), `policyGroups[g].policies[one].module: Required value: a policy needs a module: write its URI, such as file:///etc/kubernetes/wasm-admission/policy.wasm or registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3`},
		{"member digest", member("module: file:///a.wasm, digest: x"), `policyGroups[g].policies[one].digest: Invalid value: "x": ` + digest},
		{"member settings", member("module: file:///a.wasm, settings: []"), `policyGroups[g].policies[one].settings: Invalid value: "[]": ` + object},
		{"member timeout", member("module: file:///a.wasm, timeoutEvalSeconds: 31"), `policyGroups[g].policies[one].timeoutEvalSeconds: Invalid value: 31: must be between 1 and 30, in seconds`},

		{"relative policy directory", head + "policyDirectory: policies.d", `policyDirectory: Invalid value: "policies.d": is a relative path: write the absolute path of a directory`},
		{"root policy directory", head + "policyDirectory: /", `policyDirectory: Invalid value: "/": is the root directory: write one of its own, such as /etc/kubernetes/wasm-admission/policies.d`},
		{"one directory for both", head + "policyDirectory: /var/lib/wasm\nstateDirectory: /var/lib/wasm", `policyDirectory: Invalid value: "/var/lib/wasm": is the state directory too: give manifests a directory of their own`},
		{"relative break-glass file", head + "breakGlassFile: glass", `breakGlassFile: Invalid value: "glass": is a relative path: write the absolute path of a file`},
		{"root as break-glass file", head + "breakGlassFile: /", `breakGlassFile: Invalid value: "/": names no file: write the absolute path of a file`},
		{"break-glass file among manifests", head + "policyDirectory: /etc/d\nbreakGlassFile: /etc/d/glass.yaml", `breakGlassFile: Invalid value: "/etc/d/glass.yaml": ` + inPolicy},
		{"unclean credentials", head + "sources: {dockerConfig: /etc//config.json}", `sources.dockerConfig: Invalid value: "/etc//config.json": is not a clean path: write /etc/config.json`},
		{"relative layout", head + "sources: {layout: layout.tar}", `sources.layout: Invalid value: "layout.tar": is a relative path: write the absolute path of a file`},
		{"layout among manifests", head + "policyDirectory: /etc/d\nsources: {layout: /etc/d/layout.tar}", `sources.layout: Invalid value: "/etc/d/layout.tar": ` + inPolicy},
		{"credentials among manifests", head + "policyDirectory: /etc/d\nsources: {dockerConfig: /etc/d/config.json}", `sources.dockerConfig: Invalid value: "/etc/d/config.json": ` + inPolicy},
		{"relative directory", head + "stateDirectory: var/lib", `stateDirectory: Invalid value: "var/lib": is a relative path: write the absolute path of a directory`},
		{"unclean directory", head + "stateDirectory: /var/lib/", `stateDirectory: Invalid value: "/var/lib/": is not a clean path: write /var/lib`},
		{"root directory", head + "stateDirectory: /", `stateDirectory: Invalid value: "/": is the root directory: write one of its own, such as /var/lib/kubernetes/wasm-admission`},
		{"long directory", head + "stateDirectory: /" + strings.Repeat("a", 4096), `stateDirectory: Too long: may not be more than 4096 bytes`},
		{"directory with control character", head + `stateDirectory: "/a\tb"`, `stateDirectory: Invalid value: "/a\tb": holds a control character: write a path without one`},

		{"empty insecure host", head + `sources: {insecure: [""]}`, `sources.insecure[0]: Required value: ` + empty},
		{"insecure host twice", head + `sources: {insecure: [a, a]}`, `sources.insecure[1]: Duplicate value: "a": ` + twice},
		{"insecure URI", head + `sources: {insecure: [http://a]}`, `sources.insecure[0]: Invalid value: "http://a": has the port "//a", which is no number from 1 to 65535: ` + host},
		{"insecure path", head + `sources: {insecure: [a/b]}`, `sources.insecure[0]: Invalid value: "a/b": does not name a host, "a/b" is no DNS name or address: ` + host},
		{"insecure port", head + `sources: {insecure: ["a:65536"]}`, `sources.insecure[0]: Invalid value: "a:65536": has the port "65536", which is no number from 1 to 65535: ` + host},
		{"insecure address", head + `sources: {insecure: ["::1"]}`, `sources.insecure[0]: Invalid value: "::1": does not name a host, ":" is no DNS name or address: ` + host},
		{"unclosed address", head + `sources: {insecure: ["[::1"]}`, `sources.insecure[0]: Invalid value: "[::1": does not name a host, "[:" is no DNS name or address: ` + host},
		{"authority without host", head + `sources: {authorities: [{files: [/a.pem]}]}`, `sources.authorities[0].host: Required value: write the host that the authorities vouch for`},
		{"authority host", head + `sources: {authorities: [{host: A, files: [/a.pem]}]}`, `sources.authorities[0].host: Invalid value: "A": does not name a host, "A" is no DNS name or address: ` + host},
		{"authority host twice", head + `sources: {authorities: [{host: a, files: [/a.pem]}, {host: a, files: [/b.pem]}]}`, `sources.authorities[1].host: Duplicate value: "a": is the host of an earlier entry: put all files into one`},
		{"authority without files", head + `sources: {authorities: [{host: a, files: []}]}`, `sources.authorities[0].files: Required value: write the absolute path of at least one file with certificates in PEM`},
		{"authority file", head + `sources: {authorities: [{host: a, files: [a.pem]}]}`, `sources.authorities[0].files[0]: Invalid value: "a.pem": is a relative path: write the absolute path of a file`},
		{"authority file twice", head + `sources: {authorities: [{host: a, files: [/a.pem, /a.pem]}]}`, `sources.authorities[0].files[1]: Duplicate value: "/a.pem": ` + twice},
		{"many authority files", head + `sources: {authorities: [{host: a, files: [` + strings.Repeat("/%d,", 17) + `]}]}`, `sources.authorities[0].files: Too many: 17: must have at most 16 items`},
		{"mirror without prefix", head + `sources: {mirrors: [{replacement: registry://a/}]}`, `sources.mirrors[0].prefix: Invalid value: "": is no prefix of a URI that can have a mirror: ` + mirror},
		{"mirror of files", head + `sources: {mirrors: [{prefix: file:///a/, replacement: registry://a/}]}`, `sources.mirrors[0].prefix: Invalid value: "file:///a/": is no prefix of a URI that can have a mirror: ` + mirror},
		{"mirror without TLS", head + `sources: {mirrors: [{prefix: https://a/, replacement: http://a/}]}`, `sources.mirrors[0].replacement: Invalid value: "http://a/": is no prefix of a URI that can have a mirror: ` + mirror},
		{"mirror without host", head + `sources: {mirrors: [{prefix: registry://a/, replacement: registry://}]}`, `sources.mirrors[0].replacement: Invalid value: "registry://": does not name a host, "" is no DNS name or address: ` + host},
		{"mirror with a tag", head + `sources: {mirrors: [{prefix: registry://a/, replacement: "registry://b/c@sha256:"}]}`, `sources.mirrors[0].replacement: Invalid value: "registry://b/c@sha256:": holds more than a host and a path: ` + mirror},
		{"mirror of another scheme", head + `sources: {mirrors: [{prefix: registry://a/, replacement: https://a/}]}`, `sources.mirrors[0].replacement: Invalid value: "https://a/": has another scheme than the prefix: a mirror of registry:// begins with registry://`},
		{"mirror without slash", head + `sources: {mirrors: [{prefix: registry://a/, replacement: registry://b}]}`, `sources.mirrors[0].replacement: Invalid value: "registry://b": ends otherwise than the prefix: end both with '/' or none`},
		{"mirror twice", head + `sources: {mirrors: [{prefix: registry://a/, replacement: registry://b/}, {prefix: registry://a/, replacement: registry://c/}]}`, `sources.mirrors[1].prefix: Duplicate value: "registry://a/": is the prefix of an earlier entry: remove one of the two`},
		{"long mirror", head + `sources: {mirrors: [{prefix: registry://a/, replacement: registry://b/` + strings.Repeat("a", 4096) + `}]}`, `sources.mirrors[0].replacement: Invalid value: "registry://b/` + strings.Repeat("a", 4096) + `": is longer than 4096 bytes: ` + mirror},

		{"verification of nobody", head + `verification: {}`, `verification.config: Required value: signatures are demanded, and it is not said whose: write a verification config, or name its file`},
		{"config and file", verified("file: /a.yml\n  trustRoot: {publicGood: true}"), `verification.file: Invalid value: "/a.yml": is set beside config: remove one of the two`},
		{"relative config", head + `verification: {file: a.yml}`, `verification.file: Invalid value: "a.yml": is a relative path: write the absolute path of a file`},
		{"broken config", head + `verification: {config: {apiVersion: v1, allOf: []}}`, `verification.config: Invalid value: allOf: is empty, which would demand nothing: write which signatures are demanded`},
		{"config of another version", head + `verification: {config: {allOf: []}}`, `verification.config: Invalid value: apiVersion: is missing: write v1`},
		{"config with a list", head + `verification: {config: []}`, `verification.config: Invalid value: the verification config is not an object: write fields with values, apiVersion first`},
		{"two trust roots", verified("trustRoot: {file: /a.json, publicGood: true}"), `verification.trustRoot.publicGood: Invalid value: true: is set beside file: remove one of the two`},
		{"relative trust root", verified("trustRoot: {file: a.json}"), `verification.trustRoot.file: Invalid value: "a.json": is a relative path: write the absolute path of a file`},
		{"identities without trust root", verified(""), `verification.trustRoot: Required value: ` + writeTrustRoot},
		{"a policy's identities without trust root", policy("verification: {config: {apiVersion: v1, allOf: [{kind: githubAction, owner: a}]}}"), `verification.trustRoot: Required value: ` + writeTrustRoot},
		{"a policy's broken config", policy("verification: {config: {apiVersion: v1}}"), `policies[a].verification.config: Invalid value: allOf: is missing, and so is anyOf: such a config would accept everything: write which signatures are demanded`},
		{"a policy that requires nothing", policy("verification: {required: true}"), `policies[a].verification.required: Invalid value: true: demands the config of verification, which is not set: set verification.config or verification.file, or write a config here`},
		{"a policy that requires less", verified("trustRoot: {publicGood: true}") + "policies: [{name: a, module: file:///a.wasm, verification: {required: false}}]",
			`policies[a].verification.required: Invalid value: false: would lift what verification.required demands of all: a policy can only add to it: remove it`},
		{"a member that requires less", verified("trustRoot: {publicGood: true}") + `policyGroups: [{name: g, expression: a(), message: m, rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}], policies: {a: {module: file:///a.wasm, verification: {required: false}}}}]`,
			`policyGroups[g].policies[a].verification.required: Invalid value: false: would lift what verification.required demands of all: a policy can only add to it: remove it`},
		{"no time to fetch", head + `sources: {timeout: 0s}`, `sources.timeout: Invalid value: "0s": must be between 1s and 10m`},
		{"much time to fetch", head + `sources: {timeout: 11m}`, `sources.timeout: Invalid value: "11m0s": must be between 1s and 10m`},

		{"reload interval", head + `reload: {interval: 1ms}`, `reload.interval: Invalid value: "1ms": must be between 1s and 24h`},
		{"long reload interval", head + `reload: {interval: 25h}`, `reload.interval: Invalid value: "25h0m0s": must be between 1s and 24h`},
		{"load timeout", head + `reload: {loadTimeout: 1ms}`, `reload.loadTimeout: Invalid value: "1ms": must be between 1s and 1h`},
		{"long load timeout", head + `reload: {loadTimeout: 61m}`, `reload.loadTimeout: Invalid value: "1h1m0s": must be between 1s and 1h`},
		{"last good set without state", head + `reload: {keepLastGood: true}`, `reload.keepLastGood: Invalid value: true: needs a directory to keep the last good set in: set stateDirectory or remove the field`},
		{"compilation mode", head + `compilation: {mode: inProcess}`, `compilation.mode: Unsupported value: "inProcess": supported values: "ChildProcesses", "InProcess"`},
		{"little compilation memory", head + `compilation: {memory: 127Mi}`, `compilation.memory: Invalid value: 133169152: must be between 128Mi and 64Gi, in bytes`},
		{"much compilation memory", head + `compilation: {memory: 65Gi}`, `compilation.memory: Invalid value: 69793218560: must be between 128Mi and 64Gi, in bytes`},
		{"negative workers", head + `compilation: {workers: -1}`, `compilation.workers: Invalid value: -1: must be between 0 and 1024`},
		{"many workers", head + `compilation: {workers: 1025}`, `compilation.workers: Invalid value: 1025: must be between 0 and 1024`},
		{"compilation timeout", head + `compilation: {timeout: 0s}`, `compilation.timeout: Invalid value: "0s": must be between 1s and 1h`},
		{"long compilation timeout", head + `compilation: {timeout: 2h}`, `compilation.timeout: Invalid value: "2h0m0s": must be between 1s and 1h`},
		{"negative minimum", head + `minimumPolicies: -1`, `minimumPolicies: Invalid value: -1: must be between 0 and 10000`},
		{"large minimum", head + `minimumPolicies: 10001`, `minimumPolicies: Invalid value: 10001: must be between 0 and 10000`},

		{"negative failures", head + `circuitBreaker: {failures: -1}`, `circuitBreaker.failures: Invalid value: -1: must be between 0 and 1000000`},
		{"many failures", head + `circuitBreaker: {failures: 1000001}`, `circuitBreaker.failures: Invalid value: 1000001: must be between 0 and 1000000`},
		{"probe interval", head + `circuitBreaker: {probeInterval: 0s}`, `circuitBreaker.probeInterval: Invalid value: "0s": must be between 100ms and 1h`},
		{"unknown fields", head + `mutation: {unknownFields: Ignore}`, `mutation.unknownFields: Unsupported value: "Ignore": supported values: "Error", "Warn"`},
		{"unknown omission", head + `review: {omit: [labels]}`, `review.omit[0]: Unsupported value: "labels": supported values: "managedFields"`},
		{"many omissions", head + `review: {omit: [a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a]}`, `review.omit: Too many: 17: must have at most 16 items`},
		{"omission twice", head + `review: {omit: [managedFields, managedFields]}`, `review.omit[1]: Duplicate value: "managedFields": is left out already: name each field once`},
		{"unknown omission of a policy", head + `policies: [{name: a, module: file:///a.wasm, review: {omit: [""]}}]`, `policies[a].review.omit[0]: Unsupported value: "": supported values: "managedFields"`},
		{"long probe interval", head + `circuitBreaker: {probeInterval: 2h}`, `circuitBreaker.probeInterval: Invalid value: "2h0m0s": must be between 100ms and 1h`},

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
		{"no request timeout", head + "limits: {requestTimeout: 0s}", `limits.requestTimeout: Invalid value: "0s": must be between 1ms and 30s`},
		{"long request timeout", head + "limits: {requestTimeout: 31s}", `limits.requestTimeout: Invalid value: "31s": must be between 1ms and 30s`},
		{"no fuel", head + "limits: {fuel: 0}", `limits.fuel: Invalid value: 0: must be between 1000000 and 1000000000000`},
		{"much fuel", head + "limits: {fuel: 1000000000001}", `limits.fuel: Invalid value: 1000000000001: must be between 1000000 and 1000000000000`},
		{"little stack", head + "limits: {stack: 63Ki}", `limits.stack: Invalid value: 64512: must be between 64Ki and 512Mi, in bytes`},
		{"much stack", head + "limits: {stack: 513Mi}", `limits.stack: Invalid value: 537919488: must be between 64Ki and 512Mi, in bytes`},
		{"no table", head + "limits: {tableEntries: 0}", `limits.tableEntries: Invalid value: 0: must be between 1 and 16777216`},
		{"large table", head + "limits: {tableEntries: 16777217}", `limits.tableEntries: Invalid value: 16777217: must be between 1 and 16777216`},
		{"little time to compile", head + "limits: {compilationTime: 999ms}", `limits.compilationTime: Invalid value: "999ms": must be between 1s and 1h`},
		{"much time to compile", head + "limits: {compilationTime: 61m}", `limits.compilationTime: Invalid value: "1h1m0s": must be between 1s and 1h`},
		{"little memory to compile", head + "limits: {compilationMemory: 63Mi}", `limits.compilationMemory: Invalid value: 66060288: must be between 64Mi and 64Gi, in bytes`},
		{"much memory to compile", head + "limits: {compilationMemory: 65Gi}", `limits.compilationMemory: Invalid value: 69793218560: must be between 64Mi and 64Gi, in bytes`},
		{"little memory in total", head + "limits: {totalMemory: 127Mi}", `limits.totalMemory: Invalid value: 133169152: must be between limits.memory (128Mi) and 1Ti, in bytes`},
		{"much memory in total", head + "limits: {totalMemory: 1025Gi}", `limits.totalMemory: Invalid value: 1100585369600: must be between limits.memory (128Mi) and 1Ti, in bytes`},
		{"negative evaluations", head + "limits: {moduleEvaluations: -1}", `limits.moduleEvaluations: Invalid value: -1: must be between 0 and 10000`},
		{"many evaluations", head + "limits: {moduleEvaluations: 10001}", `limits.moduleEvaluations: Invalid value: 10001: must be between 0 and 10000`},
		{"no waiters", head + "limits: {moduleWaiters: 0}", `limits.moduleWaiters: Invalid value: 0: must be between 1 and 100000`},
		{"many waiters", head + "limits: {moduleWaiters: 100001}", `limits.moduleWaiters: Invalid value: 100001: must be between 1 and 100000`},
		{"no requests", head + "limits: {policyEvaluations: 0}", `limits.policyEvaluations: Invalid value: 0: must be between 1 and 100000`},
		{"many requests", head + "limits: {policyEvaluations: 100001}", `limits.policyEvaluations: Invalid value: 100001: must be between 1 and 100000`},

		{"empty user", head + `exemptions: {usernames: [a, ""]}`, `exemptions.usernames[1]: Required value: ` + empty},
		{"user twice", head + `exemptions: {usernames: [a, b, a]}`, `exemptions.usernames[2]: Duplicate value: "a": ` + twice},
		{"empty group", head + `exemptions: {groups: [""]}`, `exemptions.groups[0]: Required value: ` + empty},
		{"group twice", head + `exemptions: {groups: [a, a]}`, `exemptions.groups[1]: Duplicate value: "a": ` + twice},
		{"empty namespace", head + `exemptions: {namespaces: [""]}`, `exemptions.namespaces[0]: Required value: ` + empty},
		{"namespace with a dot", head + `exemptions: {namespaces: [kube.system]}`, `exemptions.namespaces[0]: Invalid value: "kube.system": ` + namespace},
		{"namespace wildcard", head + `exemptions: {namespaces: ["*"]}`, `exemptions.namespaces[0]: Invalid value: "*": ` + namespace},
		{"namespace twice", head + `exemptions: {namespaces: [a, a]}`, `exemptions.namespaces[1]: Duplicate value: "a": ` + twice},
	}
	require.GreaterOrEqual(t, len(tests), 150)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, []string{test.want}, lines(ValidateConfiguration(parse(t, numbered(test.config)))))
			require.NotContains(t, test.want, "\n")
		})
	}
}
