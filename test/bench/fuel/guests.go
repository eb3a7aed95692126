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

package main

// mode is a calling convention.
type mode int

const (
	wapc mode = iota
	program
	opa
	gatekeeper
)

// guest is a sample policy.
type guest struct {
	name, path, settings string
	mode                 mode
	request              string
}

// pod is the path of a request that creates a Pod.
const pod = "test/policies/testdata/pod-create-9k.json"

var guests = []guest{
	{"add-defaults", "bin/policies/add-defaults.wasm",
		`{"labels":{"team":"none"},"annotations":{"example.com/seen":"yes"},"sidecar":{"name":"proxy","image":"ghcr.io/acme/proxy:2"}}`,
		wapc, pod},
	{"audit-logger", "bin/policies/audit-logger.wasm", `{}`, wapc, pod},
	{"deny-deletion", "bin/policies/deny-deletion.wasm",
		`{"operations":["DELETE"],"protectedLabel":"wasm-admission.example/protected"}`, wapc,
		"test/policies/deny-deletion/testdata/vap-delete-unprotected.json"},
	{"label-from-namespace-go", "bin/policies/label-from-namespace-go.wasm", `{"label":"owner"}`,
		wapc, pod},
	{"required-labels", "bin/policies/required-labels.wasm", `{"labels":{"app":".+"}}`, wapc, pod},
	{"inherit-owner", "bin/policies/inherit-owner.wasm", `{"label":"owner"}`, program, pod},
	{"inherit-owner, optimized", "test/policies/inherit-owner/optimized.wasm", `{"label":"owner"}`,
		program, pod},
	{"drop-capabilities", "test/policies/drop-capabilities/policy.wasm", `{"drop":["NET_RAW"]}`,
		wapc, pod},
	{"image-pattern", "test/policies/image-pattern/policy.wasm", `{"images":[".+"]}`, wapc, pod},
	{"label-from-namespace-rust", "test/policies/label-from-namespace-rust/policy.wasm",
		`{"label":"owner"}`, wapc, pod},
	{"pod-privileged", "test/policies/pod-privileged/policy.wasm", `{}`, wapc, pod},
	{"allowed-registries", "test/policies/allowed-registries/policy.wasm",
		`{"registries":["registry.example.com"]}`, wapc, pod},
	{"default-tolerations", "test/policies/default-tolerations/policy.wasm",
		`{"tolerations":[{"key":"example.com/pool","value":"shop","effect":"NoSchedule"}]}`, wapc,
		pod},
	{"label-from-namespace-as", "test/policies/label-from-namespace-as/policy.wasm",
		`{"label":"owner"}`, wapc, pod},
	{"always-pull", "test/policies/always-pull/policy.wasm", `{}`, wapc, pod},
	{"label-from-namespace-c", "test/policies/label-from-namespace-c/policy.wasm",
		`{"label":"owner"}`, wapc, pod},
	{"no-latest-tag", "test/policies/no-latest-tag/policy.wasm", `{}`, wapc, pod},
	{"label-from-namespace-rego", "test/policies/label-from-namespace-rego/policy.wasm",
		`{"label":"owner"}`, opa, pod},
	{"team-label", "test/policies/team-label/policy.wasm", `{"teams":{"web":"Ann"}}`, opa, pod},
	{"unique-ingress-host", "test/policies/unique-ingress-host/policy.wasm", `{}`, gatekeeper,
		"test/policies/unique-ingress-host/testdata/ingress-create-taken.json"},
}
