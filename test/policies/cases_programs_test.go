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

// programCase is a request from testdata with the expected result of a program: an error, a denial
// with a message, or, if both are empty, acceptance.
type programCase struct {
	request, settings string
	refused, wantErr  string
	code              int
}

// programCases are the cases of the policies that are programs. The host looks namespaces up in
// namespaces.
var programCases = map[string][]programCase{
	"inherit-owner": {
		{request: "pod-create"},
		{request: "pod-create-labelled"},
		{request: "pod-create-owned"},
		{request: "pod-create-owned", settings: `{"label":"none"}`, code: 403,
			refused: "neither the object nor namespace shop has label none"},
		{
			request: "pod-create-orphan", code: 403,
			refused: "neither the object nor namespace attic has label owner",
		},
		{request: "pod-create-gone", wantErr: "looking up namespace gone: no namespace gone"},
		{request: "pod-delete"},
		{request: "namespace-create"},
		{request: "pod-create", settings: `{}`, wantErr: "label: the name of a label is required"},
	},
}

// programSettings are settings, and why a policy rejects them.
var programSettings = map[string][]struct{ settings, refused string }{
	"inherit-owner": {
		{settings: `{"label":"owner"}`},
		{settings: `{}`, refused: "label: the name of a label is required"},
		{settings: `{"label":""}`, refused: "label: the name of a label is required"},
		{settings: `{"label":1}`, refused: "label: the name of a label is required"},
	},
}

// namespaces are the namespaces that policies can look up.
var namespaces = map[string]string{
	"shop":  `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"owner":"team \"a\""}}}`,
	"attic": `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"attic"}}`,
}
