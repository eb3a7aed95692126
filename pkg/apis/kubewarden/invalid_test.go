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

package kubewarden_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
)

// decode decodes one file with a default configuration.
func decode(t *testing.T, name, content string) (*kubewarden.Manifests, error) {
	t.Helper()
	return kubewarden.Files{{Path: name, Content: []byte(content)}}.Decode(configuration(t, ""))
}

const rules = "[{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]"

// manifest returns an object that is valid except for the given fields of its spec, which replace
// those of the same name. They come as name, value, name, value ...
func manifest(kind, namespace string, fields ...string) string {
	spec := map[string]string{"rules": rules}
	if strings.HasSuffix(kind, "Group") {
		spec["expression"], spec["message"] = "one()", "rejected"
		spec["policies"] = "{one: {module: 'file:///a.wasm'}}"
	} else {
		spec["module"], spec["mutating"] = "file:///a.wasm", "false"
	}
	for i := 0; i < len(fields); i += 2 {
		spec[fields[i]] = fields[i+1]
	}
	text := "apiVersion: policies.kubewarden.io/v1\nkind: " + kind + "\nmetadata: {name: a" +
		namespace + "}\nspec:\n"
	for _, name := range slices.Sorted(maps.Keys(spec)) {
		if value := spec[name]; value != "" {
			text += "  " + name + ": " + value + "\n"
		}
	}
	return text
}

func clusterPolicy(fields ...string) string {
	return manifest("ClusterAdmissionPolicy", "", fields...)
}
func policy(fields ...string) string {
	return manifest("AdmissionPolicy", ", namespace: team", fields...)
}
func clusterGroup(fields ...string) string {
	return manifest("ClusterAdmissionPolicyGroup", "", fields...)
}
func group(fields ...string) string {
	return manifest("AdmissionPolicyGroup", ", namespace: team", fields...)
}

// rule returns a rules field whose only rule has one field replaced.
func rule(field, value string) string {
	rule := map[string]string{
		"apiGroups":   "['']",
		"apiVersions": "[v1]",
		"resources":   "[pods]",
		"operations":  "[CREATE]",
		field:         value,
	}
	var fields []string
	for name, value := range rule {
		fields = append(fields, name+": "+value)
	}
	return "[{" + strings.Join(fields, ", ") + "}]"
}

func TestValidManifests(t *testing.T) {
	for name, content := range map[string]string{
		"cluster policy": clusterPolicy(),
		"policy":         policy(),
		"cluster group":  clusterGroup(),
		"group":          group(),
		"everything": clusterPolicy("rules",
			"[{apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'], operations: ['*']}]"),
		"subresources":      policy("rules", rule("resources", "['pods/*']")),
		"longest timeouts":  clusterPolicy("timeoutSeconds", "30", "timeoutEvalSeconds", "30"),
		"shortest timeouts": clusterPolicy("timeoutSeconds", "2", "timeoutEvalSeconds", "2"),
		"timeouts of a group": clusterGroup("policies",
			"{one: {module: a/b, timeoutEvalSeconds: 4}, two: {module: a/b, timeoutEvalSeconds: 6}}"),
		"null settings": clusterPolicy("settings", "null"),
		"namespace of cluster": strings.Replace(clusterPolicy(), "name: a",
			"name: a, namespace: helm", 1),
		"metadata of all sorts": strings.Replace(clusterPolicy(), "name: a",
			"name: a, x: {y: [1]}, ownerReferences: []", 1) + "status: {x: [1]}\n",
		"empty list": "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems: []\n",
		"anchors": clusterPolicy("matchConditions", "[]", "settings", "&a {x: 1}") +
			"---\n" +
			strings.Replace(policy("settings", "{x: &b [1], y: *b}"), "name: a", "name: b", 1),
		"yes": clusterPolicy("mutating", "yes"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(t, "a.yaml", content)
			require.NoError(t, err)
		})
	}
}

// Each of these files has one mistake and causes one line.
func TestInvalidManifests(t *testing.T) {
	const (
		cp     = `a.yaml[1] ClusterAdmissionPolicy "a": `
		ap     = `a.yaml[1] AdmissionPolicy "team/a": `
		cpg    = `a.yaml[1] ClusterAdmissionPolicyGroup "a": `
		apg    = `a.yaml[1] AdmissionPolicyGroup "team/a": `
		remove = `: correct its name or remove it`
		kinds  = `write one of ClusterAdmissionPolicy, AdmissionPolicy, ClusterAdmissionPolicyGroup, AdmissionPolicyGroup, PolicyServer`
	)
	long := strings.Repeat("a", 243)
	for name, test := range map[string]struct{ content, want string }{
		"text": {"hello",
			`a.yaml[1]: is not an object: write fields with values, apiVersion and kind first`},
		"list of fields": {"- a",
			`a.yaml[1]: is not an object: write fields with values, apiVersion and kind first`},
		"null": {"null",
			`a.yaml[1]: apiVersion: is missing: write policies.kubewarden.io/v1`},
		"broken": {"a: [\n",
			`a.yaml[1]: is not valid YAML: line 1: did not find expected node content`},
		"broken further down": {"\n---\n" + clusterPolicy() + "---\n\na: [\n",
			`a.yaml[2]: is not valid YAML: line 12: did not find expected node content`},
		"beside the end": {"... a: 1\n",
			`a.yaml[1]: apiVersion: is missing: write policies.kubewarden.io/v1`},
		"twice": {clusterPolicy() + "kind: X\n",
			`a.yaml[1]: is not valid YAML: line 8: key "kind" already set in map`},
		"twice in settings": {clusterPolicy("settings", "{a: 1, a: 2}"),
			`a.yaml[1]: is not valid YAML: line 8: key "a" already set in map`},
		"twice and merged": {clusterPolicy("settings",
			"{x: &x {a: 1}, z: {<<: *x, a: 1, a: 2}}"),
			`a.yaml[1]: is not valid YAML: line 8: key "a" already set in map`},
		"no apiVersion": {"kind: ClusterAdmissionPolicy",
			`a.yaml[1] ClusterAdmissionPolicy: apiVersion: is missing: write policies.kubewarden.io/v1`},
		"odd apiVersion": {"apiVersion: a/b/c",
			`a.yaml[1]: apiVersion: unexpected GroupVersion string: a/b/c: write policies.kubewarden.io/v1`},
		"apiVersion 1": {"apiVersion: 1",
			`a.yaml[1]: apiVersion: number does not fit: write a string`},
		"name 1": {"apiVersion: policies.kubewarden.io/v1\nkind: AdmissionPolicy\nmetadata: {name: 1}",
			`a.yaml[1]: metadata.name: number does not fit: write a string`},
		"foreign group": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {}\n",
			`a.yaml[1] ConfigMap "a": apiVersion: "v1" is not of policies.kubewarden.io: remove the object, or move it to where no policies are read from`},
		"configuration": {"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n",
			`a.yaml[1] WasmAdmissionConfiguration: apiVersion: "wasm.admission.config.k8s.io/v1alpha1" is not of policies.kubewarden.io: remove the object, or move it to where no policies are read from`},
		"unknown version": {strings.Replace(clusterPolicy(), "/v1", "/v2", 1),
			cp +
				`apiVersion: "policies.kubewarden.io/v2" is not supported: write policies.kubewarden.io/v1`},
		"unknown kind": {strings.Replace(clusterPolicy(),
			"ClusterAdmissionPolicy", "ClusterAdmisionPolicy", 1),
			`a.yaml[1] ClusterAdmisionPolicy "a": kind: "ClusterAdmisionPolicy" is not supported: ` +
				kinds},
		"no kind": {strings.Replace(clusterPolicy(),
			"kind: ClusterAdmissionPolicy\n", "", 1), `a.yaml[1] "a": kind: "" is not supported: ` +
			kinds},
		"list of what": {"apiVersion: policies.kubewarden.io/v1\nkind: ThingList\n",
			`a.yaml[1] ThingList: kind: "ThingList" is not supported: ` + kinds},
		"items": {"apiVersion: v1\nkind: List\nitems: {}\n",
			`a.yaml[1] List: items: is not a list: write one of objects`},
		"field of a list, and of an item": {"apiVersion: v1\nkind: List\nitem: []\nitems: [3]\n",
			`a.yaml[1] List: unknown field "item"` + remove + "\n" +
				`a.yaml[1].items[1]: is not an object: write fields with values, apiVersion and kind first`},
		"field of a list": {"apiVersion: v1\nkind: List\nitem: []\n",
			`a.yaml[1] List: unknown field "item"` + remove},
		"list in a list": {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List}]\n",
			`a.yaml[1].items[1] List: is a List in a List: put the items into one`},
		"null in a list": {"apiVersion: v1\nkind: List\nitems: [null]\n",
			`a.yaml[1].items[1]: apiVersion: is missing: write policies.kubewarden.io/v1`},
		"foreign in a list": {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod}]\n",
			`a.yaml[1].items[1] Pod: apiVersion: "v1" is not of policies.kubewarden.io: remove the object, or move it to where no policies are read from`},
		"unknown field": {clusterPolicy() + "data: {}\n",
			cp + `unknown field "data"` + remove},
		"unknown, and more": {clusterPolicy("modul", "a", "mode", "x",
			"timeoutSeconds", "40"), cp + `unknown field "spec.modul"` + remove + "\n" + cp +
			`spec.timeoutSeconds: Invalid value: 40: must be between 2 and 30, in seconds` + "\n" +
			cp + `spec.mode: Unsupported value: "x": supported values: "protect", "monitor"`},
		"unknown, and types": {clusterPolicy("modul", "a", "mutating", "x"),
			cp + `unknown field "spec.modul"` + remove + "\n" + cp +
				`spec.mutating: string does not fit: write true or false`},
		"unknown in spec": {clusterPolicy("modul", "a"),
			cp + `unknown field "spec.modul"` + remove},
		"unknown in case": {clusterPolicy("Module", "a"),
			cp + `unknown field "spec.Module"` + remove},
		"unknown in a rule": {clusterPolicy("rules", rule("apiGroup", "['']")),
			cp + `unknown field "spec.rules[0].apiGroup"` + remove},
		"unknown in a member": {clusterGroup("policies",
			"{one: {module: file:///a.wasm, url: x}}"),
			cpg + `unknown field "spec.policies.one.url"` + remove},
		"name in spec": {clusterPolicy("name", "a"),
			cp + `unknown field "spec.name"` + remove},
		"digest in spec": {clusterPolicy("digest", "a"),
			cp + `unknown field "spec.digest"` + remove},
		"capabilities in spec": {clusterPolicy("hostCapabilities", "['*']"),
			cp + `unknown field "spec.hostCapabilities"` + remove},
		"no spec": {"apiVersion: policies.kubewarden.io/v1\nkind: ClusterAdmissionPolicy\nmetadata: {name: a}\nspec: []\n",
			cp + `spec: is not an object: write fields with values`},
		"wrong type": {clusterPolicy("mutating", "'no'"),
			cp + `spec.mutating: string does not fit: write true or false`},
		"wrong type in a rule": {clusterPolicy("rules", rule("resources", "pods")),
			cp + `spec.rules.resources: string does not fit: write a list: ["pods"]`},
		"wrong type in a map": {group("policies", "{one: {module: 1}}"),
			apg + `spec.policies.module: number does not fit: write a string`},
		"wrong member": {clusterGroup("policies", "{one: {module: 1}}"),
			cpg + `spec.policies.module: number does not fit: write a string`},

		"no name": {strings.Replace(clusterPolicy(), "name: a", "generateName: a", 1),
			`a.yaml[1] ClusterAdmissionPolicy: metadata.name: Required value: an object needs a name: write one, such as no-privileged-pods`},
		"bad name": {strings.Replace(clusterPolicy(), "name: a", "name: A", 1),
			`a.yaml[1] ClusterAdmissionPolicy "A": metadata.name: Invalid value: "A": is not a DNS subdomain: write at most 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends and around each '.'`},
		"long name": {strings.Replace(clusterPolicy(), "name: a", "name: "+long, 1),
			`a.yaml[1] ClusterAdmissionPolicy "` + long + `": metadata.name: Invalid value: "` +
				long + `": makes the name of the policy, clusterwide-` + long +
				`, longer than 253 characters: write a shorter one`},
		"no namespace": {manifest("AdmissionPolicy", ""),
			`a.yaml[1] AdmissionPolicy "a": metadata.namespace: Required value: an object of this kind is in a namespace: write its name`},
		"bad namespace": {manifest("AdmissionPolicy", ", namespace: a.b"),
			`a.yaml[1] AdmissionPolicy "a.b/a": metadata.namespace: Invalid value: "a.b": is not the name of a namespace: write at most 63 lower-case letters, digits and '-', with a letter or digit at both ends`},
		"same object": {clusterPolicy() + "---\n" + clusterPolicy(),
			`a.yaml[2] ClusterAdmissionPolicy "a": metadata.name: gives the policy the name "clusterwide-a", which a.yaml[1] ClusterAdmissionPolicy "a" already has: rename one of the two`},
		"same id, group": {clusterGroup() + "---\n" +
			strings.Replace(clusterPolicy(), "name: a", "name: group-a", 1),
			`a.yaml[2] ClusterAdmissionPolicy "group-a": metadata.name: gives the policy the name "clusterwide-group-a", which a.yaml[1] ClusterAdmissionPolicyGroup "a" already has: rename one of the two`},
		"same id, namespaces": {strings.Replace(policy(), "name: a", "name: b-a", 1) + "---\n" +
			strings.Replace(policy(), "team", "team-b", 1),
			`a.yaml[2] AdmissionPolicy "team-b/a": metadata.name: gives the policy the name "namespaced-team-b-a", which a.yaml[1] AdmissionPolicy "team/b-a" already has: rename one of the two`},

		"no module": {clusterPolicy("module", ""),
			cp +
				`spec.module: Required value: a policy needs a module: write its URI, such as file:///etc/kubernetes/wasm-admission/policy.wasm or registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3`},
		"no reference": {clusterPolicy("module", "pod-privileged"),
			cp +
				`spec.module: Invalid value: "registry://pod-privileged": is not a reference to an artifact, missing registry or repository: write registry://host/repository:tag or registry://host/repository@sha256:…`},
		"http": {clusterPolicy("module", "http://example.com/a"),
			cp +
				`spec.module: Invalid value: "http://example.com/a": would be fetched without TLS: write https://, or add example.com to sources.insecure`},
		"settings": {clusterPolicy("settings", "[]"),
			cp +
				`spec.settings: Invalid value: "[]": must be an object: write fields with values below settings, or {} for none`},
		"no mutating": {clusterPolicy("mutating", ""),
			cp +
				`spec.mutating: Required value: write true if the policy may change objects, or else false`},
		"no rules": {clusterPolicy("rules", ""),
			cp +
				`spec.rules: Required value: write at least one rule: a manifest does not take those of the module`},
		"empty rules": {clusterPolicy("rules", "[]"),
			cp +
				`spec.rules: Required value: an empty list matches nothing: write at least one rule, or remove the field to take those of the module`},
		"rule": {clusterPolicy("rules", rule("operations", "[]")),
			cp +
				`spec.rules[0].operations: Required value: write at least one operation, such as CREATE, or "*" for all`},
		"mode": {clusterPolicy("mode", "audit"),
			cp + `spec.mode: Unsupported value: "audit": supported values: "protect", "monitor"`},
		"failure policy": {clusterPolicy("failurePolicy", "fail"), cp +
			`spec.failurePolicy: Unsupported value: "fail": supported values: "Fail", "Ignore"`},
		"condition": {clusterPolicy("matchConditions", "[{name: a, expression: b}]"),
			cp +
				`spec.matchConditions[0].expression: Invalid value: "b": compilation failed: ERROR: <input>:1:1: undeclared reference to 'b': match conditions know object, oldObject, request, namespaceObject and authorizer`},
		"side effects": {clusterPolicy("sideEffects", "Any"),
			cp +
				`spec.sideEffects: Unsupported value: "Any": supported values: "None", "NoneOnDryRun", "Some", "Unknown"`},
		"short timeout": {clusterPolicy("timeoutSeconds", "1"),
			cp + `spec.timeoutSeconds: Invalid value: 1: must be between 2 and 30, in seconds`},
		"long timeout": {clusterPolicy("timeoutSeconds", "31"),
			cp + `spec.timeoutSeconds: Invalid value: 31: must be between 2 and 30, in seconds`},
		"short evaluation": {clusterPolicy("timeoutEvalSeconds", "1"),
			cp + `spec.timeoutEvalSeconds: Invalid value: 1: must be between 2 and 30, in seconds`},
		"long evaluation": {clusterPolicy("timeoutEvalSeconds", "11"),
			cp +
				`spec.timeoutEvalSeconds: Invalid value: 11: is longer than spec.timeoutSeconds (10): lower it or raise spec.timeoutSeconds`},
		"group expression": {clusterGroup("expression", "one() && two()"),
			cpg +
				`spec.expression: Invalid value: "one() && two()": line 1, column 13: two is not a member of the group: correct its name or add it to policies`},
		"group message": {clusterGroup("message", ""),
			cpg +
				`spec.message: Required value: a group needs a message for those whose requests it rejects: write one`},
		"group without rules": {clusterGroup("rules", ""),
			cpg +
				`spec.rules: Required value: a group needs rules of its own, as its modules may have different ones: write at least one rule`},
		"mutating group": {clusterGroup("mutating", "true"),
			cpg + `unknown field "spec.mutating"` + remove},
		"short group timeout": {clusterGroup("timeoutSeconds", "1"),
			cpg + `spec.timeoutSeconds: Invalid value: 1: must be between 2 and 30, in seconds`},
		"short member": {clusterGroup("policies",
			"{one: {module: a/b, timeoutEvalSeconds: 1}}"),
			cpg +
				`spec.policies[one].timeoutEvalSeconds: Invalid value: 1: must be between 2 and 30, in seconds`},
		"long member": {clusterGroup("policies",
			"{one: {module: a/b, timeoutEvalSeconds: 11}}"),
			cpg +
				`spec.policies[one].timeoutEvalSeconds: Invalid value: 11: is longer than spec.timeoutSeconds (10): lower it or raise spec.timeoutSeconds`},
		"long members": {clusterGroup("policies",
			"{one: {module: a/b, timeoutEvalSeconds: 6}, two: {module: a/b, timeoutEvalSeconds: 5}}"),
			cpg +
				`spec.timeoutSeconds: Invalid value: 10: is less than the sum of the members' timeoutEvalSeconds (11): raise it or lower those`},

		"namespaced, all groups": {policy("rules", rule("apiGroups", "['*']")),
			ap +
				`spec.rules[0].apiGroups: Forbidden: "*" is for policies of the whole cluster: write the API groups`},
		"namespaced, all resources": {policy("rules", rule("resources", "['*']")),
			ap +
				`spec.rules[0].resources[0]: Forbidden: "*" is for policies of the whole cluster: write the resources`},
		"namespaced, everything": {policy("rules", rule("resources", "['*/*']")),
			ap +
				`spec.rules[0].resources[0]: Forbidden: "*/*" is for policies of the whole cluster: write the resources`},
		"namespaced, all scales": {group("rules", rule("resources", "[pods, '*/scale']")),
			apg +
				`spec.rules[0].resources[1]: Forbidden: "*/scale" is for policies of the whole cluster: write the resources`},
		"namespaced, reports": {group("rules",
			"[{apiGroups: [apps, wgpolicyk8s.io], apiVersions: [v1], resources: [policyreports/status], operations: [CREATE]}]"),
			apg +
				`spec.rules[0].resources[0]: Forbidden: "policyreports/status" is for policies of the whole cluster: remove it`},
		"namespaced, selector": {policy("namespaceSelector", "{}"),
			ap + `unknown field "spec.namespaceSelector"` + remove},
		"namespaced, context": {policy("contextAwareResources", "[]"),
			ap + `unknown field "spec.contextAwareResources"` + remove},
		"namespaced, member's context": {group("policies",
			"{one: {module: a/b, contextAwareResources: []}}"),
			apg + `unknown field "spec.policies.one.contextAwareResources"` + remove},
		"namespaced, inside": {policy("allowInsideAdmissionControllerNamespace", "true"),
			ap + `unknown field "spec.allowInsideAdmissionControllerNamespace"` + remove},
	} {
		t.Run(name, func(t *testing.T) {
			manifests, err := decode(t, "a.yaml", test.content)
			require.EqualError(t, err, test.want)
			require.Empty(t, manifests.Policies)
			require.Empty(t, manifests.PolicyGroups)
		})
	}
}

func TestInvalidJSON(t *testing.T) {
	for content, want := range map[string]string{
		`{"a": `:      `a.json: object 1 is not valid JSON: unexpected EOF`,
		`{} x`:        `a.json: object 2 is not valid JSON: invalid character 'x' looking for beginning of value`,
		"{}\n---\n{}": `a.json: object 2 is not valid JSON: invalid character '-' in numeric literal`,
		`{"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "metadata": {"name": "a"}, "spec": {"module": "a/b", "module": "c/d", "mutating": false, "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}}`:                  `a.json[1] ClusterAdmissionPolicy "a": duplicate field "spec.module": remove one of the two`,
		`{"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "kind": "ClusterAdmissionPolicy", "metadata": {"name": "a"}, "spec": {"module": "a/b", "mutating": false, "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}}`: `a.json[1] ClusterAdmissionPolicy "a": duplicate field "kind": remove one of the two`,
	} {
		_, err := decode(t, "a.json", content)
		require.EqualError(t, err, want)
	}
}

// All problems of all files are reported at once.
func TestAllProblemsAtOnce(t *testing.T) {
	files := kubewarden.Files{
		{
			Path: "a.yaml",
			Content: []byte(clusterPolicy("mode", "1", "mutating", "2") + "---\n" +
				policy("rules", rule("apiGroups", "['*', a]"), "module", "file://a")),
		},
		{Path: "b.json", Content: []byte("[]")},
	}
	_, err := files.Decode(configuration(t, ""))
	require.EqualError(t, err, strings.Join([]string{
		`a.yaml[1] ClusterAdmissionPolicy "a": spec.mode: number does not fit: write a string`,
		`a.yaml[1] ClusterAdmissionPolicy "a": spec.mutating: number does not fit: write true or false`,
		`a.yaml[2] AdmissionPolicy "team/a": spec.rules[0].apiGroups: Forbidden: "*" is for policies of the whole cluster: write the API groups`,
		`a.yaml[2] AdmissionPolicy "team/a": spec.module: Invalid value: "file://a": has a relative path, and there is no directory to start from: write file:// and the absolute path of the module`,
		`a.yaml[2] AdmissionPolicy "team/a": spec.rules[0].apiGroups: Invalid value: ["*","a"]: "*" includes all API groups: remove it or the others`,
		`b.json[1]: is not an object: write fields with values, apiVersion and kind first`,
	}, "\n"))
}

// The configuration decides which modules are allowed and which names are free.
func TestDecodeWithConfiguration(t *testing.T) {
	files := kubewarden.Files{{
		Path: "a.yaml",
		Content: []byte(clusterPolicy("module", "http://example.com/a.wasm", "timeoutEvalSeconds",
			"3")),
	}}
	manifests, err :=
		files.Decode(configuration(t,
			"sources: {insecure: [example.com]}\nlimits: {requestTimeout: 2s}\n"))
	require.NoError(t, err)
	require.Equal(t, []string{
		`a.yaml[1] ClusterAdmissionPolicy "a": spec.timeoutEvalSeconds: is longer than limits.requestTimeout (2s), which ends the evaluation first: raise one or lower the other`,
	}, manifests.Warnings)

	files[0].Content = []byte(clusterPolicy())
	_, err = files.Decode(configuration(t, "policies: [{name: clusterwide-a}]\n"))
	require.EqualError(t, err,
		`a.yaml[1] ClusterAdmissionPolicy "a": metadata.name: gives the policy the name "clusterwide-a", which policies[clusterwide-a] of the configuration already has: rename one of the two`)

	files[0].Content = []byte(clusterGroup())
	_, err = files.Decode(configuration(t, "policyGroups: [{name: clusterwide-group-a}]\n"))
	require.EqualError(t, err,
		`a.yaml[1] ClusterAdmissionPolicyGroup "a": metadata.name: gives the policy the name "clusterwide-group-a", which policyGroups[clusterwide-group-a] of the configuration already has: rename one of the two`)

	config := configuration(t, "")
	config.StateDirectory = ""
	files[0].Content = []byte(clusterPolicy("module", "ghcr.io/a"))
	_, err = files.Decode(config)
	require.ErrorContains(t, err,
		`spec.module: Invalid value: "registry://ghcr.io/a": is in a registry, but there is no directory for modules from registries: set stateDirectory`)
}

func TestEmptyFiles(t *testing.T) {
	for _, content := range []string{"", "# nothing\n", "---\n# nothing\n---\n...\n"} {
		manifests, err := decode(t, "a.yaml", content)
		require.NoError(t, err)
		require.Equal(t, []string{"a.yaml: contains no object: write one or remove the file"},
			manifests.Warnings)
	}
	manifests, err := kubewarden.Files{}.Decode(configuration(t, ""))
	require.NoError(t, err)
	require.Empty(t, manifests.Warnings)
	require.Empty(t, manifests.Policies)
}

// A document marker is a line of its own, even inside a text. Similar lines are not markers.
func TestDocuments(t *testing.T) {
	content := "%YAML 1.1\n--- # first\n" + clusterPolicy("message", "'---a'") +
		"...\n# between\n---\t\n" +
		strings.Replace(clusterPolicy(), "name: a", "name: b", 1) +
		"--- {apiVersion: policies.kubewarden.io/v1, kind: PolicyServer, metadata: {name: c}}\n" +
		"---\r\n" +
		strings.ReplaceAll(strings.Replace(clusterPolicy("message", "|\n    ---a\n      \n    ---"),
			"name: a", "name: d", 1), "\n", "\r\n")
	manifests, err := decode(t, "a.yaml", content)
	require.NoError(t, err)
	policies, _ := names(manifests)
	require.Equal(t, []string{"clusterwide-a", "clusterwide-b", "clusterwide-d"}, policies)
	require.Equal(t, "---a", manifests.Policies[0].Message)
	require.Equal(t, "---a\n  \n---\n", manifests.Policies[2].Message)
	require.Equal(t, `a.yaml[4] ClusterAdmissionPolicy "d"`,
		manifests.Origins["clusterwide-d"].String())
	require.Equal(t, []string{
		`a.yaml[3] PolicyServer "c": has no effect in process: there is no policy server`,
	}, manifests.Warnings)
}

func TestLimits(t *testing.T) {
	server := "apiVersion: policies.kubewarden.io/v1\nkind: PolicyServer\n---\n"
	_, err := decode(t, "a.yaml", strings.Repeat(server, 1000))
	require.NoError(t, err)
	_, err = decode(t, "a.yaml", strings.Repeat(server, 1001))
	require.EqualError(t, err, "a.yaml: the file contains more than 1000 documents: split it")
	_, err = decode(t, "a.yaml", strings.TrimSuffix(strings.Repeat(server, 1001), "---\n"))
	require.EqualError(t, err, "a.yaml: the file contains more than 1000 documents: split it")
	_, err = decode(t, "a.json", strings.Repeat("{}", 1001))
	require.EqualError(t, err, "a.json: the file contains more than 1000 documents: split it")

	// The bound applies to the policies of all files together, including those in a List.
	var items []string
	for i := range 1000 {
		items = append(items,
			fmt.Sprintf(
				`{"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "metadata": {"name": "p%d"},
			"spec": {"module": "file:///a.wasm", "mutating": false, "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}}`, i))
	}
	files := kubewarden.Files{{
		Path: "a.json",
		Content: []byte(`{"apiVersion": "v1", "kind": "List", "items": [` +
			strings.Join(items, ",") + `]}`),
	}}
	manifests, err := files.Decode(configuration(t, ""))
	require.NoError(t, err)
	require.Len(t, manifests.Policies, 1000)
	_, err = append(files, kubewarden.File{Path: "b.yaml", Content: []byte(group())}).
		Decode(configuration(t, ""))
	require.EqualError(t, err,
		`b.yaml[1] AdmissionPolicyGroup "team/a": exceeds the limit of 1000 policies and groups: remove some`)

	// The number of lines is bounded.
	_, err = decode(t, "a.json", strings.Repeat("{}", 200))
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 101)
	require.Equal(t, "… and 100 more problems", lines[100])
	_, err = decode(t, "a.yaml", "apiVersion: "+strings.Repeat("a", 1<<20)+"\nkind: "+
		strings.Repeat("b", 1<<20)+"\nmetadata: {name: "+strings.Repeat("c", 1<<20)+"}")
	require.Less(t, len(err.Error()), 3000)
}

// Aliases must not expand a small file into a large one.
func TestAliases(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for name := 'b'; name <= 'z'; name++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", name, name, strings.Repeat("*"+string(name-1)+",", 9))
	}
	const tooLarge = "aliases make it larger than 4194304 bytes: write less of them"
	for name, test := range map[string]struct{ content, err string }{
		"many nodes": {bomb, tooLarge},
		"large text": {"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" +
			strings.Repeat("*a,", 100) + "]\n", tooLarge},
		"itself": {"a: &a [*a]\n", `line 1: anchor "a" contains itself: write what is meant`},
	} {
		_, err := decode(t, "a.yaml", test.content)
		require.EqualError(t, err, "a.yaml[1]: is not valid YAML: "+test.err, name)
	}
	_, err := decode(t, "a.yaml", "a: &a 1\nb: *c\n")
	require.EqualError(t, err, "a.yaml[1]: is not valid YAML: unknown anchor 'c' referenced")
}

// As in kubectl, a key overrides a merged one.
func TestMergeKeys(t *testing.T) {
	manifests, err := decode(t, "a.yaml",
		clusterPolicy("settings", "{x: &x {a: 1, b: 2}, z: {<<: *x, b: 9}}"))
	require.NoError(t, err)
	require.JSONEq(t, `{"x":{"a":1,"b":2},"z":{"a":1,"b":9}}`,
		string(manifests.Policies[0].Settings.Raw))
}
