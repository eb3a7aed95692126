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

package load

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

const (
	yamlHead = "apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n"
	jsonHead = `{"apiVersion":"wasm.admission.config.k8s.io/v1alpha1","kind":"WasmAdmissionConfiguration"`
)

func defaultLimits() wasmadmission.Limits {
	return wasmadmission.Limits{
		ModuleSize:             128 << 20,
		Memory:                 128 << 20,
		RequestSize:            8 << 20,
		ResponseSize:           8 << 20,
		HostCallPayloadSize:    4 << 20,
		LogLineSize:            4 << 10,
		HostCalls:              1000,
		GuestLogLinesPerSecond: 100,
		EvaluationTimeout:      metav1.Duration{Duration: 2 * time.Second},
		RequestTimeout:         metav1.Duration{Duration: 10 * time.Second},
		Fuel:                   20_000_000_000,
		Stack:                  6 << 20,
		TableEntries:           1 << 17,
		CompilationTime:        metav1.Duration{Duration: 5 * time.Minute},
		CompilationMemory:      4 << 30,
		TotalMemory:            2 << 30,
		ModuleWaiters:          1000,
		PolicyEvaluations:      500,
	}
}

func defaults() *wasmadmission.WasmAdmissionConfiguration {
	minute := metav1.Duration{Duration: time.Minute}
	answers := wasmadmission.AnswerCache{
		CacheEntries: 4096,
		CacheSize:    16 << 20,
		CacheTTL:     metav1.Duration{Duration: 5 * time.Second},
	}
	return &wasmadmission.WasmAdmissionConfiguration{
		Sources: wasmadmission.Sources{Timeout: minute},
		Reload: wasmadmission.Reload{
			Interval:    minute,
			LoadTimeout: metav1.Duration{Duration: 2 * time.Minute},
		},
		Compilation: wasmadmission.Compilation{
			Mode:    wasmadmission.CompilationChildProcesses,
			Memory:  1 << 30,
			Timeout: metav1.Duration{Duration: 2 * time.Minute},
		},
		CircuitBreaker: wasmadmission.CircuitBreaker{
			Failures:      10,
			ProbeInterval: metav1.Duration{Duration: 10 * time.Second},
		},
		Mutation: wasmadmission.Mutation{UnknownFields: wasmadmission.UnknownFieldsError},
		Limits:   defaultLimits(),
		Capabilities: wasmadmission.Capabilities{
			Kubernetes: wasmadmission.KubernetesCapability{
				User: "system:wasm-admission", MemorySize: 256 << 20,
				IdleTimeout: metav1.Duration{Duration: 10 * time.Minute},
				GetResource: answers, CanI: answers,
			},
			DNS: wasmadmission.DNSCapability{
				CacheEntries: 1000,
				CacheTTL:     metav1.Duration{Duration: 30 * time.Second},
			},
			OCI: wasmadmission.OCICapability{
				CacheEntries: 4096, CacheSize: 16 << 20, CacheTTL: metav1.Duration{
					Duration: time.Minute,
				}, FailureTTL: metav1.Duration{Duration: 5 * time.Second},
				LookTimeout: metav1.Duration{Duration: 10 * time.Second}, PolicyLooks: 16,
				RegistryLooks: 8,
			},
		},
	}
}

func TestLoad(t *testing.T) {
	onePolicy := defaults()
	onePolicy.Policies = []wasmadmission.Policy{{
		Name:          "no-privileged-pods",
		Module:        "file:///p.wasm",
		Settings:      runtime.RawExtension{Raw: []byte(`{}`)},
		FailurePolicy: admissionregistrationv1.Fail,
		MatchPolicy:   admissionregistrationv1.Equivalent,
		Mode:          wasmadmission.ModeProtect,

		ReinvocationPolicy: admissionregistrationv1.IfNeededReinvocationPolicy,
	}}
	oneGroup := defaults()
	oneGroup.PolicyGroups = []wasmadmission.PolicyGroup{{
		Name:       "signed-or-scanned",
		Expression: "signed() || scanned()",
		Policies: []wasmadmission.PolicyGroupMember{
			{
				Name: "scanned", Module: "file:///s.wasm",
				Settings: runtime.RawExtension{Raw: []byte(`{"level":1}`)},
			},
			{
				Name: "signed", Module: "file:///p.wasm",
				Settings: runtime.RawExtension{Raw: []byte(`{}`)},
			},
		},
		FailurePolicy: admissionregistrationv1.Fail,
		MatchPolicy:   admissionregistrationv1.Equivalent,
		Mode:          wasmadmission.ModeProtect,
	}}
	emptyPolicies := defaults()
	emptyPolicies.Policies = []wasmadmission.Policy{}
	onlyDefaults := defaults()
	withLimits := defaults()
	withLimits.Limits.Memory = 64 << 20
	withLimits.Limits.LogLineSize = 1000
	withLimits.Limits.HostCalls = 0
	withLimits.Limits.EvaluationTimeout.Duration = 1500 * time.Millisecond

	tests := map[string]struct {
		data string
		want *wasmadmission.WasmAdmissionConfiguration
	}{
		"YAML": {yamlHead +
			"policies:\n- name: no-privileged-pods\n  module: file:///p.wasm\n", onePolicy},
		"null settings": {yamlHead +
			"policies:\n- {name: no-privileged-pods, module: 'file:///p.wasm', settings: null}\n",
			onePolicy},
		"JSON": {jsonHead +
			`,"policies":[{"name":"no-privileged-pods","module":"file:///p.wasm"}]}`, onePolicy},
		"JSON in many lines": {"\n" + jsonHead + ",\n\t\"policies\": [\n\t]\n}\n", emptyPolicies},
		"group": {
			yamlHead +
				"policyGroups:\n- name: signed-or-scanned\n  expression: signed() || scanned()\n  policies:\n" +
				"    signed: {module: 'file:///p.wasm', settings: null}\n    scanned: {module: 'file:///s.wasm', settings: {level: 1}}\n",
			oneGroup,
		},
		"nothing but the kind": {yamlHead, onlyDefaults},
		"one document":         {"# head\n---\n" + yamlHead + "---\n# tail\n", onlyDefaults},
		"ended document":       {yamlHead + "...\n", onlyDefaults},
		"null sections": {yamlHead + "policies: null\nlimits: null\nexemptions: null\n",
			onlyDefaults},
		"limits, zero is kept": {yamlHead +
			"limits: {memory: 64Mi, logLineSize: 1k, hostCalls: 0, evaluationTimeout: 1.5s}\n",
			withLimits},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config, err := LoadFromData([]byte(test.data))
			require.NoError(t, err)
			require.Equal(t, test.want, config)
		})
	}
}

// The YAML parser does not know all JSON escapes.
func TestLoadJSONEscapes(t *testing.T) {
	config, err := LoadFromData([]byte(jsonHead + `,"policies":[{"message":"\ud83d\ude00\/"}]}`))
	require.NoError(t, err)
	require.Equal(t, "😀/", config.Policies[0].Message)
}

// As in kubectl, a key may override a merged one, but may not occur twice.
func TestLoadMergeKeys(t *testing.T) {
	const policies = "policies:\n- &a {name: a, module: 'file:///a.wasm', mode: monitor}\n- {<<: *a, name: b"
	config, err := LoadFromData([]byte(yamlHead + policies + "}\n"))
	require.NoError(t, err)
	require.Equal(t, "b", config.Policies[1].Name)
	require.Equal(t, config.Policies[0].Module, config.Policies[1].Module)

	_, err = LoadFromData([]byte(yamlHead + policies + ", name: c}\n"))
	require.ErrorContains(t, err, `"name" already set in map`)
	_, err = LoadFromData([]byte(yamlHead + policies + ", nmae: c}\n"))
	require.ErrorContains(t, err, `unknown field "policies[1].nmae": correct its name or remove it`)
}

func TestLoadErrors(t *testing.T) {
	tests := map[string]struct {
		data string
		want string
	}{
		"empty": {"", "the configuration is empty: write a WasmAdmissionConfiguration"},
		"comments only": {"# nothing\n---\n\n",
			"the configuration is empty: write a WasmAdmissionConfiguration"},
		"two documents": {yamlHead + "---\n" + yamlHead,
			"the configuration contains more than one YAML document: put all policies into one"},
		"after the end": {yamlHead + "...\n" + yamlHead,
			"the configuration contains more than one YAML document: put all policies into one"},
		"JSON and YAML": {jsonHead + "}\n---\n" + yamlHead,
			"the configuration begins with { and is not one valid JSON object: invalid character '-' after top-level value"},
		"two JSON objects": {jsonHead + "} {}",
			"the configuration begins with { and is not one valid JSON object: invalid character '{' after top-level value"},
		"broken JSON": {jsonHead,
			"the configuration begins with { and is not one valid JSON object: unexpected end of JSON input"},
		"broken YAML": {yamlHead + "policies: [\n",
			"the configuration is not valid YAML: line 3: did not find expected node content"},
		"tab in YAML": {yamlHead + "\tpolicies: []\n",
			"the configuration is not valid YAML: line 3: found a tab character that violates indentation"},
		"alias bomb": {aliasBomb(),
			"the configuration is not valid YAML: aliases make it larger than 4194304 bytes: write less of them"},
		"large aliases": {largeAliases(),
			"the configuration is not valid YAML: aliases make it larger than 4194304 bytes: write less of them"},
		"list": {"- 1\n",
			"the configuration is not an object: write fields with values, apiVersion and kind first"},
		"text": {"policies",
			"the configuration is not an object: write fields with values, apiVersion and kind first"},
		"null": {"null",
			"the configuration is not an object: write fields with values, apiVersion and kind first"},
		"no apiVersion": {"kind: WasmAdmissionConfiguration\n",
			"apiVersion is missing: write wasm.admission.config.k8s.io/v1alpha1"},
		"no kind": {"apiVersion: wasm.admission.config.k8s.io/v1alpha1\n",
			"kind is missing: write WasmAdmissionConfiguration"},
		"wrong version": {"apiVersion: wasm.admission.config.k8s.io/v1\nkind: WasmAdmissionConfiguration\n",
			`apiVersion is "wasm.admission.config.k8s.io/v1": write wasm.admission.config.k8s.io/v1alpha1`},
		"internal version": {"apiVersion: wasm.admission.config.k8s.io/__internal\nkind: WasmAdmissionConfiguration\n",
			`apiVersion is "wasm.admission.config.k8s.io/__internal": write wasm.admission.config.k8s.io/v1alpha1`},
		"something else": {"apiVersion: v1\nkind: Pod\nspec: {}\n",
			"apiVersion is \"v1\": write wasm.admission.config.k8s.io/v1alpha1\nkind is \"Pod\": write WasmAdmissionConfiguration"},
		"numbers": {"apiVersion: 1\nkind: [a]\n",
			"apiVersion is 1: write wasm.admission.config.k8s.io/v1alpha1\nkind is [\"a\"]: write WasmAdmissionConfiguration"},
		"unknown": {yamlHead + "verificatoin: {}\n",
			`unknown field "verificatoin": correct its name or remove it`},
		"unknown in case": {yamlHead + "Policies: []\n",
			`unknown field "Policies": correct its name or remove it`},
		"unknown in policy": {yamlHead + "policies:\n- name: a\n- nmae: b\n",
			`unknown field "policies[1].nmae": correct its name or remove it`},
		"unknown in rule": {yamlHead + "policies:\n- rules:\n  - {apiGroup: ['']}\n",
			`unknown field "policies[0].rules[0].apiGroup": correct its name or remove it`},
		"twice": {yamlHead + "policies: []\npolicies: []\n",
			`line 4: key "policies" already set in map: remove one of the two`},
		"twice, line": {"# head\n---\n" + yamlHead + "policies: []\npolicies: []\n",
			`line 6: key "policies" already set in map: remove one of the two`},
		"twice in settings": {yamlHead + "policies:\n- settings: {a: 1, a: 2}\n",
			`line 4: key "a" already set in map: remove one of the two`},
		"twice in JSON": {jsonHead + `,"policies":[{"name":"a","name":"b"}]}`,
			`duplicate field "policies[0].name": remove one of the two`},
		"several strict errors": {
			yamlHead +
				"policies:\n- name: a\n  name: b\n  nmae: c\nlimits: {memory: 1Gi, memory: 2Gi, feul: 3}\nsource: {}\n",
			`line 5: key "name" already set in map: remove one of the two` + "\n" +
				`line 7: key "memory" already set in map: remove one of the two` + "\n" +
				`unknown field "limits.feul": correct its name or remove it` + "\n" +
				`unknown field "policies[0].nmae": correct its name or remove it` + "\n" +
				`unknown field "source": correct its name or remove it`,
		},
		"several wrong values": {
			yamlHead +
				"policies:\n- mutating: 'yes'\n  name: {}\n- rules: [{apiGroups: [1]}]\n  timeoutEvalSeconds: 3000000000\n  objectSelector: x\n" +
				"limits: {memory: abc, moduleSize: [1], evaluationTimeout: soon, hostCalls: many, fuel: much}\nexemptions: {groups: 1}\n" +
				"policyGroups:\n- {name: [], policies: {a: {module: 1}}}\nsources: {insecure: a, timeout: 1}\nreload: {interval: soon}\ncircuitBreaker: {failures: few}\n",
			"policies[0].mutating: string does not fit: write true or false\n" +
				"policies[0].name: object does not fit: write a string\n" +
				"policies[1].objectSelector: string does not fit: write an object\n" +
				"policies[1].rules.apiGroups: number does not fit: write a string\n" +
				"policies[1].timeoutEvalSeconds: number 3000000000 does not fit: write a whole number below 2147483648\n" +
				"policyGroups[0].name: array does not fit: write a string\n" +
				"policyGroups[0].policies.module: number does not fit: write a string\n" +
				`limits.evaluationTimeout: time: invalid duration "soon": correct the value` +
				"\n" +
				"limits.fuel: string does not fit: write a whole number below 9223372036854775808\n" +
				"limits.hostCalls: string does not fit: write a whole number below 2147483648\n" +
				"limits.memory: is not a quantity: write a number of bytes, such as 128Mi\n" +
				"limits.moduleSize: is not a quantity: write a number of bytes, such as 128Mi\n" +
				`sources.insecure: string does not fit: write a list: ["a"]` + "\n" +
				"sources.timeout: number does not fit: write a time with its unit, such as 5s\n" +
				`reload.interval: time: invalid duration "soon": correct the value` + "\n" +
				"circuitBreaker.failures: string does not fit: write a whole number below 2147483648\n" +
				"exemptions.groups: number does not fit: write a list",
		},
		"unknown and wrong": {
			yamlHead + "policies:\n- {nmae: a, mutating: 'yes'}\nlimits: {feul: 1}\nsource: {}\n",
			"policies[0].mutating: string does not fit: write true or false\n" +
				`unknown field "policies[0].nmae": correct its name or remove it` + "\n" +
				`unknown field "limits.feul": correct its name or remove it` + "\n" +
				`unknown field "source": correct its name or remove it`,
		},
		"wrong sections": {yamlHead + "policies: 3\nlimits: 4\nstateDirectory: []\n",
			"limits: number does not fit: write an object\n" +
				"policies: number does not fit: write a list\n" +
				"stateDirectory: array does not fit: write a string"},
		"parts of bytes": {yamlHead + "limits: {memory: 0.5, requestSize: 100E}\n",
			`limits.memory: 0.5 is not a whole number of bytes below 8Ei: write one, such as 128Mi` +
				"\n" +
				`limits.requestSize: 100000000000000000000 is not a whole number of bytes below 8Ei: write one, such as 128Mi`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config, err := LoadFromData([]byte(test.data))
			require.EqualError(t, err, test.want)
			// Other problems can still be found next to such fields.
			strict := strings.Contains(test.want, "correct its name or remove it") ||
				strings.Contains(test.want, "remove one of the two")
			require.Equal(t, strict && !strings.Contains(test.want, "does not fit"), config != nil)
		})
	}
}

// aliasBomb returns a document of a few hundred bytes that would expand to gigabytes.
func aliasBomb() string {
	bomb := yamlHead + "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for name := 'b'; name <= 'i'; name++ {
		alias := "*" + string(name-1)
		bomb += string(name) + ": &" + string(name) + " [" + strings.Repeat(alias+",", 9) + "]\n"
	}
	return bomb
}

// largeAliases returns a document with few nodes that would expand a thousandfold.
func largeAliases() string {
	return yamlHead + "a: &a " + strings.Repeat("x", 16<<10) + "\nb: [" +
		strings.Repeat("*a,", 300) + "]\n"
}

// Many or long problems do not make a long error.
func TestErrorsAreBounded(t *testing.T) {
	for name, test := range map[string]struct{ data, want string }{
		"repeated fields": {yamlHead + "x: {" + strings.Repeat("a: 1,", 2000) + "}",
			"more than 100 fields occur twice: the others are not listed"},
		"kind": {"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: " +
			strings.Repeat("x", 100000), "kind is \"xxx"},
		"apiVersion": {"kind: WasmAdmissionConfiguration\napiVersion: [" +
			strings.Repeat("x,", 100000) + "]", "apiVersion is [\"x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadFromData([]byte(test.data))
			require.ErrorContains(t, err, test.want)
			require.Less(t, len(err.Error()), 10000)
		})
	}
}

func TestLoadSizeLimit(t *testing.T) {
	const tooLarge = "the configuration is larger than 8388608 bytes: make it smaller"
	fits := jsonHead + strings.Repeat(" ", MaxSize-len(jsonHead)-1) + "}"
	_, err := LoadFromData([]byte(fits))
	require.NoError(t, err)

	_, err = LoadFromData([]byte(fits + " "))
	require.EqualError(t, err, tooLarge)
}
