//go:build !wasip1

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

package policytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
)

func init() {
	policy.RegisterRaw(func(calls []struct{ Namespace, Operation, Payload string },
		_ policy.NoSettings) (policy.Response, error) {
		var answers []string
		for _, c := range calls {
			answer, err := policy.HostCall("kubewarden", c.Namespace, c.Operation,
				[]byte(c.Payload))
			answers = append(answers, fmt.Sprint(string(answer), " ", err))
		}
		if len(calls) == 0 {
			panic("nothing to call")
		}
		return policy.Reject(fmt.Sprint(answers)), nil
	})
}

type call struct{ Namespace, Operation, Payload string }

func TestHost(t *testing.T) {
	namespace := json.RawMessage(
		`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`)
	pod := json.RawMessage(
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"shop"}}`)
	p := &Policy{Host: Host{
		Objects: []any{namespace, pod},
		Calls: map[string]func(json.RawMessage) (any, error){
			"net/v1/dns_lookup_host": func(payload json.RawMessage) (any, error) {
				return map[string]any{"ips": []string{string(payload)}}, nil
			},
			"oci/v1/manifest_digest": func(json.RawMessage) (any, error) {
				return nil, errors.New("no registry")
			},
		},
	}}
	for _, tc := range []struct {
		call call
		want string
	}{
		{call{
			"kubernetes", "get_resource", `{"api_version":"v1","kind":"Namespace","name":"shop"}`,
		}, string(namespace) + " <nil>"},
		{call{
			"kubernetes", "get_resource",
			`{"api_version":"v1","kind":"Pod","name":"web","namespace":"shop"}`,
		}, string(pod) + " <nil>"},
		{
			call{
				"kubernetes", "get_resource",
				`{"api_version":"v1","kind":"Pod","name":"web","namespace":"attic"}`,
			},
			" Callback evaluation failure: Cannot find v1/Pod named 'web' inside of namespace 'attic'",
		},
		{call{"kubernetes", "list_resources_all", `{"api_version":"v1","kind":"Pod"}`},
			`{"apiVersion":"v1","items":[` + string(pod) +
				`],"kind":"PodList","metadata":{}} <nil>`},
		{
			call{
				"kubernetes", "list_resources_by_namespace",
				`{"api_version":"v1","kind":"Pod","namespace":"attic"}`,
			},
			`{"apiVersion":"v1","items":[],"kind":"PodList","metadata":{}} <nil>`,
		},
		{
			call{
				"kubernetes", "list_resources_all",
				`{"api_version":"v1","kind":"Pod","label_selector":"a=b"}`,
			},
			" Callback evaluation failure: selectors are not evaluated here: add an answer to Host.Calls",
		},
		{call{"net", "v1/dns_lookup_host", `1`}, `{"ips":["1"]} <nil>`},
		{call{"oci", "v1/manifest_digest", `"i"`}, " Callback evaluation failure: no registry"},
		{call{"oci", "v1/oci_manifest", `"i"`},
			" Callback evaluation failure: oci/v1/oci_manifest: no answer is known: add one to Host.Calls"},
		{call{"tracing", "log", `{"a":1}`}, " <nil>"},
	} {
		response, err := p.Validate([]call{tc.call}, nil)
		if err != nil || response.Message != "["+tc.want+"]" {
			t.Errorf("%s: got %v, %v, want %s", tc.call, response.Message, err, tc.want)
		}
	}
	if len(p.Host.Logs) != 1 || string(p.Host.Logs[0]) != `{"a":1}` {
		t.Errorf("%s is logged", p.Host.Logs)
	}
	if _, err := p.Validate([]call{}, nil); err == nil || err.Error() != "panic: nothing to call" {
		t.Errorf("the panic has become %v", err)
	}
}

// TestSession shows the names of host calls in the sessions that wasmctl replays.
func TestSession(t *testing.T) {
	for path, tc := range map[string]struct{ payload, want string }{
		"kubernetes/get_resource": {`{"api_version":"v1"}`,
			`!KubernetesGetResource {"api_version":"v1"}`},
		"kubernetes/can_i": {`{"disable_cache":true}`,
			`!KubernetesCanI {"disable_cache":true}`},
		"oci/v1/manifest_digest": {`"i"`, `!OciManifestDigest {"image":"i"}`},
		"net/v1/dns_lookup_host": {`"h"`, `!DNSLookupHost {"host":"h"}`},
		"crypto/v1/is_certificate_trusted": {`{"cert":{}}`,
			`!CryptoIsCertificateTrusted {"request":{"cert":{}}}`},
		"oci/v2/verify": {`{"type":"SigstorePubKeyVerify","image":"i"}`,
			`!SigstorePubKeyVerify {"image":"i"}`},
	} {
		request, err := (&exchange{path: path, payload: []byte(tc.payload)}).request()
		if err != nil || request != tc.want {
			t.Errorf("%s: got %s, %v, want %s", path, request, err, tc.want)
		}
	}
	if _, err := session([]exchange{{path: "new/call", payload: []byte("{}")}}); err == nil {
		t.Error("a host call that nobody can replay is recorded")
	}
}
