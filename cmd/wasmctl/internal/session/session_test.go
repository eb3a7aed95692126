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

package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

const recording = `- type: Exchange
  request: |
    !KubernetesGetResource
    api_version: v1
    kind: Namespace
    name: default
    namespace: null
    disable_cache: false
    field_masks: null
  response:
    type: Success
    payload: '{"apiVersion":"v1","kind":"Namespace"}'
- type: Exchange
  request: |
    !DNSLookupHost
    host: kubewarden.io
  response: {type: Error, message: no such host}
`

var caller = &capabilities.Caller{
	Policy:    "p",
	Resources: []abi.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}},
}

// Each host call corresponds to the request in a session that was written by hand.
func TestRequestOf(t *testing.T) {
	for _, test := range []struct{ namespace, operation, payload, recorded string }{
		{"kubernetes", "get_resource",
			`{"api_version":"v1","kind":"Namespace","name":"a","namespace":null,"disable_cache":false}`,
			"!KubernetesGetResource\napi_version: v1\nkind: Namespace\nname: a\nnamespace: null\ndisable_cache: false\n"},
		{"kubernetes", "get_resource",
			`{"api_version":"v1","kind":"Service","name":"a","namespace":"b","disable_cache":true,"field_masks":["spec"]}`,
			"!KubernetesGetResource\napi_version: v1\nkind: Service\nname: a\nnamespace: b\ndisable_cache: true\nfield_masks:\n- spec\n"},
		{"kubernetes", "get_resource", `{"api_version":"v1","kind":"Service","name":"a"}`,
			"!KubernetesGetResource\napi_version: v1\nkind: Service\nname: a\ndisable_cache: false\n"},
		{"kubernetes", "list_resources_by_namespace",
			`{"api_version":"v1","kind":"Service","namespace":"b","label_selector":"a=b"}`,
			"!KubernetesListResourceNamespace\napi_version: v1\nkind: Service\nnamespace: b\nlabel_selector: a=b\nfield_selector: null\nfield_masks: null\n"},
		{"kubernetes", "list_resources_all",
			`{"api_version":"v1","kind":"Service","label_selector":null,"field_selector":"metadata.name=a"}`,
			"!KubernetesListResourceAll\napi_version: v1\nkind: Service\nlabel_selector: null\nfield_selector: metadata.name=a\n"},
		{"kubernetes", "can_i",
			`{"subject_access_review":{"user":"u","groups":null,"resource_attributes":{"resource":"pods","verb":"get"}},"disable_cache":false}`,
			"!KubernetesCanI\nrequest:\n  user: u\n  resource_attributes:\n    resource: pods\n    verb: get\n    group: null\ndisable_cache: false\n"},
		{"kubernetes", "can_i",
			`{"subject_access_review":{"user":"u","resourceAttributes":{"resource":"pods","verb":"get"}}}`,
			"!KubernetesCanI\nsubject_access_review:\n  user: u\n  resource_attributes: {resource: pods, verb: get}\ndisable_cache: false\n"},
		{"kubernetes", "can_i",
			`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"u","resourceAttributes":{"verb":"get"}},"disable_cache":true}`,
			"!KubernetesCanI\nrequest:\n  user: u\n  resource_attributes: {verb: get}\ndisable_cache: true\n"},
		{"oci", "v1/manifest_digest", `"busybox"`, "!OciManifestDigest\nimage: busybox\n"},
		{"oci", "v1/oci_manifest", `"busybox"`, "!OciManifest\nimage: busybox\n"},
		{"oci", "v1/oci_manifest_config", `"busybox"`, "!OciManifestAndConfig\nimage: busybox\n"},
		{"oci", "v1/verify",
			`{"SigstorePubKeyVerify":{"image":"i","pub_keys":["k"],"annotations":null}}`,
			"!SigstorePubKeyVerify\nimage: i\npub_keys: [k]\n"},
		{"oci", "v1/verify",
			`{"SigstoreKeylessVerify":{"image":"i","keyless":[{"issuer":"a","subject":"b"}]}}`,
			"!SigstoreKeylessVerify\nimage: i\nkeyless:\n- issuer: a\n  subject: b\nannotations: null\n"},
		{"oci", "v2/verify", `{"type":"SigstorePubKeyVerify","image":"i","pub_keys":["k"]}`,
			"!SigstorePubKeyVerify\nimage: i\npub_keys: [k]\n"},
		{"oci", "v2/verify",
			`{"type":"SigstoreKeylessPrefixVerify","image":"i","keyless_prefix":[{"issuer":"a","url_prefix":"b"}]}`,
			"!SigstoreKeylessPrefixVerify\nimage: i\nkeyless_prefix:\n- {issuer: a, url_prefix: b}\n"},
		{"oci", "v2/verify",
			`{"type":"SigstoreGithubActionsVerify","image":"i","owner":"o","annotations":{"a":"1"}}`,
			"!SigstoreGithubActionsVerify\nimage: i\nowner: o\nrepo: null\nannotations:\n  a: '1'\n"},
		{"oci", "v2/verify",
			`{"type":"SigstoreCertificateVerify","image":"i","certificate":[45,46],"require_rekor_bundle":true}`,
			"!SigstoreCertificateVerify\nimage: i\ncertificate:\n- 45\n- 46\ncertificate_chain: null\nrequire_rekor_bundle: true\n"},
		{"net", "v1/dns_lookup_host", `"kubewarden.io"`, "!DNSLookupHost\nhost: kubewarden.io\n"},
		{"crypto", "v1/is_certificate_trusted",
			`{"cert":{"encoding":"Pem","data":[1]},"cert_chain":null,"not_after":"2021-10-01T05:09:50Z"}`,
			"!CryptoIsCertificateTrusted\nrequest:\n  cert:\n    encoding: Pem\n    data: [0x1]\n  not_after: 2021-10-01T05:09:50Z\n"},
	} {
		name := strings.SplitN(test.recorded, "\n", 2)[0] + " " + test.payload
		asked, err := RequestOf(test.namespace, test.operation, []byte(test.payload))
		require.NoError(t, err, name)
		recorded, err := parseRequest(test.recorded)
		require.NoError(t, err, name)
		require.True(t, asked.Equal(recorded), "%s\n%s\n%s", name, asked, recorded)

		text, err := asked.encode()
		require.NoError(t, err, name)
		again, err := parseRequest(text)
		require.NoError(t, err, text)
		require.True(t, asked.Equal(again), text)
	}
}

func TestRequestOfRefuses(t *testing.T) {
	for _, test := range []struct{ namespace, operation, payload, err string }{
		{"kubernetes", "get_resource", `{`, "the payload is not valid JSON: unexpected EOF"},
		{"kubernetes", "get_resource", `[]`, "the payload is not an object"},
		{"kubernetes", "namespaces", `{}`,
			"sessions do not support the host capability kubernetes/namespaces"},
		{"net", "v1/dns_lookup_host", `{}`, "the payload is not a string"},
		{"oci", "v1/verify", `{"a":{},"b":{}}`,
			"the payload is not an object with one field, which names the kind of signature"},
		{"oci", "v2/verify", `{}`, `"" is not a request in sessions`},
	} {
		_, err := RequestOf(test.namespace, test.operation, []byte(test.payload))
		require.ErrorContains(t, err, test.err)
	}
}

func TestParse(t *testing.T) {
	session, err := Parse([]byte(recording))
	require.NoError(t, err)
	require.Len(t, session, 2)
	require.Equal(t,
		`KubernetesGetResource {api_version:v1,disable_cache:false,kind:Namespace,name:default}`,
		session[0].Request.String())
	require.Equal(t, Response{Payload: `{"apiVersion":"v1","kind":"Namespace"}`},
		session[0].Response)
	require.Equal(t, Response{Failed: true, Message: "no such host"}, session[1].Response)

	text, err := session.Encode()
	require.NoError(t, err)
	again, err := Parse(text)
	require.NoError(t, err)
	require.Equal(t, session, again)

	empty, err := Parse(nil)
	require.NoError(t, err)
	require.Empty(t, empty)
}

func TestParseRefuses(t *testing.T) {
	exchange := func(request string) string {
		text, err := json.Marshal(request)
		require.NoError(t, err)
		return "- {type: Exchange, request: " + string(text) +
			", response: {type: Success, payload: ''}}\n"
	}
	for name, test := range map[string]struct{ data, err string }{
		"no list": {"a: b", "the session is not a YAML list of exchanges"},
		"no YAML": {"\t", "the session is not a YAML list of exchanges"},
		"two documents": {exchange("!DNSLookupHost\nhost: a") + "---\n[]",
			"more than one YAML document"},
		"unknown field": {"- {type: Exchange, requests: ''}",
			"unknown field \"requests\": correct its name or remove it"},
		"another type": {"- {type: Interchange}",
			`exchange 1: type is "Interchange": write Exchange`},
		"no request":    {"- {type: Exchange}", "exchange 1: request: is empty"},
		"no tag":        {exchange("a: b"), "exchange 1: request: is not tagged"},
		"a tag of YAML": {exchange("!!map {a: b}"), "exchange 1: request: is not tagged"},
		"a list":        {exchange("!DNSLookupHost [a]"), "exchange 1: request: is not tagged"},
		"unknown variant": {exchange("!Nonsense {a: b}"),
			`exchange 1: request: "Nonsense" is not a request in sessions`},
		"field twice": {exchange("!DNSLookupHost\nhost: a\nhost: b"),
			`exchange 1: request: line 3: duplicate field "host"`},
		"alias": {exchange("!DNSLookupHost\nhost: &a b\nmore: *a"),
			"exchange 1: request: line 3: aliases are not read"},
		"odd name": {exchange("!DNSLookupHost\n[a]: b"),
			"exchange 1: request: line 2: the name of a field is not a text"},
		"odd number": {exchange("!DNSLookupHost\nhost: .inf"),
			`exchange 1: request: line 2: ".inf" is not a JSON number`},
		"too deep": {exchange("!DNSLookupHost\nhost: " + strings.Repeat("[", 200) +
			strings.Repeat("]", 200)), "exchange 1: request: line 2: values nest deeper than 100"},
		"no response": {"- {type: Exchange, request: \"!DNSLookupHost\\nhost: a\"}",
			"exchange 1: response: write type Success with a payload"},
		"success's error": {"- {type: Exchange, request: \"!DNSLookupHost\\nhost: a\", response: {type: Success, message: a}}",
			"exchange 1: response: write type Success"},
		"all of them": {"- {type: A}\n- {type: B}",
			"exchange 1: type is \"A\": write Exchange\nexchange 2: type is \"B\": write Exchange"},
		"too many": {strings.Repeat("- {type: A}\n", maxExchanges+1),
			"the session has more than 100000 exchanges"},
		"too large": {strings.Repeat("#", MaxBytes+1),
			"the session is larger than 67108864 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(test.data))
			require.ErrorContains(t, err, test.err)
		})
	}
}

func TestReplay(t *testing.T) {
	session, err := Parse([]byte(recording))
	require.NoError(t, err)
	replay := NewReplay(session)
	get := func(name string) ([]byte, error) {
		return replay.Capability("kubernetes").Call(t.Context(), caller, "get_resource",
			[]byte(`{"api_version":"v1","kind":"Namespace","name":"`+name+
				`","disable_cache":false}`))
	}
	answer, err := get("default")
	require.NoError(t, err)
	require.JSONEq(t, `{"apiVersion":"v1","kind":"Namespace"}`, string(answer))
	require.Len(t, replay.Left(), 1)

	_, err = replay.Capability("net").Call(t.Context(), caller, "v1/dns_lookup_host",
		[]byte(`"kubewarden.io"`))
	require.EqualError(t, err, "Callback evaluation failure: no such host")
	require.Empty(t, replay.Left())

	replay.Rewind(session)
	_, err = get("default")
	require.NoError(t, err)
	replay.Rewind(nil)
	require.Len(t, session, 2)
	_, err = get("default")
	require.EqualError(t, err,
		`Callback evaluation failure: Replay error: the list of recorded responses is empty: the policy asks for KubernetesGetResource {api_version:v1,disable_cache:false,kind:Namespace,name:default}`)
}

// The replay keeps the order of the recording.
func TestReplayIsStrict(t *testing.T) {
	session, err := Parse([]byte(recording))
	require.NoError(t, err)
	replay := NewReplay(session)
	_, err = replay.Capability("net").Call(t.Context(), caller, "v1/dns_lookup_host",
		[]byte(`"kubewarden.io"`))
	require.EqualError(t, err,
		`Callback evaluation failure: Replay error: unexpected request: the policy asks for DNSLookupHost {host:kubewarden.io}, and KubernetesGetResource `+
			`{api_version:v1,disable_cache:false,kind:Namespace,name:default} is recorded`)
}

// A recording does not give a policy kinds that it was not granted.
func TestReplayKeepsGrants(t *testing.T) {
	session, err := Parse([]byte(recording))
	require.NoError(t, err)
	replay := NewReplay(session)
	for operation, payload := range map[string]string{
		"get_resource":                `{"api_version":"v1","kind":"Namespace","name":"default"}`,
		"list_resources_all":          `{"api_version":"v1","kind":"Namespace"}`,
		"list_resources_by_namespace": `{"api_version":"v1","kind":"Namespace","namespace":"a"}`,
	} {
		_, err = replay.Capability("kubernetes").Call(t.Context(), &capabilities.Caller{},
			operation, []byte(payload))
		require.EqualError(t, err,
			"Policy has not been granted access to Kubernetes v1/Namespace resources. The violation has been reported.")
	}
	require.Len(t, replay.Left(), 2)
	_, err = replay.Capability("kubernetes").Call(t.Context(), caller, "can_i", []byte(`[]`))
	require.EqualError(t, err,
		"Callback evaluation failure: Replay error: the payload is not an object")
}

// oracle answers every call.
type oracle struct{ err error }

func (o oracle) Call(_ context.Context, _ *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	return []byte(operation + " " + string(payload)), o.err
}

// A stopped recording records no further calls.
func TestRecordingStops(t *testing.T) {
	recording := &Recording{}
	for range 2 {
		_, err := recording.Capability("net", oracle{}).
			Call(t.Context(), caller, "v1/dns_lookup_host", []byte(`"a"`))
		require.NoError(t, err)
		recording.Stop()
	}
	require.Len(t, recording.Session(), 1)
}

// The replay returns the recorded answers.
func TestRecording(t *testing.T) {
	recording := &Recording{}
	const namespace = `{"api_version":"v1","kind":"Namespace","name":"a"}`
	answer, err := recording.Capability("kubernetes", oracle{}).
		Call(t.Context(), caller, "get_resource", []byte(namespace))
	require.NoError(t, err)
	_, err = recording.Capability("net", oracle{&capabilities.FailedError{Err: errors.New("no")}}).
		Call(t.Context(), caller, "v1/dns_lookup_host", []byte(`"a"`))
	require.EqualError(t, err, "Callback evaluation failure: no")
	// Neither of these calls is a valid request.
	_, _ = recording.Capability("net", oracle{}).Call(t.Context(), caller, "v2/unknown",
		[]byte(`"a"`))
	_, _ = recording.Capability("kubernetes", oracle{}).Call(t.Context(), &capabilities.Caller{},
		"get_resource", []byte(namespace))

	text, err := recording.Session().Encode()
	require.NoError(t, err)
	session, err := Parse(text)
	require.NoError(t, err)
	require.Len(t, session, 2)
	require.Equal(t, Response{Failed: true, Message: "no"}, session[1].Response,
		"as kwctl takes it down")
	replay := NewReplay(session)
	again, err := replay.Capability("kubernetes").Call(t.Context(), caller, "get_resource",
		[]byte(namespace))
	require.NoError(t, err)
	require.Equal(t, string(answer), string(again))
	_, err = replay.Capability("net").Call(t.Context(), caller, "v1/dns_lookup_host", []byte(`"a"`))
	require.EqualError(t, err, "Callback evaluation failure: no")
}

const inventoryRecording = `- type: Exchange
  request: |
    !HasKubernetesListResourceAllResultChangedSinceInstant
    api_version: v1
    kind: Service
    since: {secs: 1, nanos: 2}
  response: {type: Success, payload: 'true'}
- type: Exchange
  request: |
    !KubernetesListResourceAll
    api_version: v1
    kind: Service
  response: {type: Success, payload: '{"items":[{"metadata":{"name":"a","namespace":"n"}}]}'}
- type: Exchange
  request: |
    !KubernetesListResourceAll
    api_version: v1
    kind: Namespace
  response: {type: Success, payload: '{"items":[{"metadata":{"name":"n"}}]}'}
- type: Exchange
  request: "!KubernetesGetResourcePluralName {api_version: v1, kind: Namespace}"
  response: {type: Success, payload: '"namespaces"'}
- type: Exchange
  request: "!KubernetesGetResourcePluralName {api_version: v1, kind: Service}"
  response: {type: Success, payload: services}
`

func TestInventory(t *testing.T) {
	session, err := Parse([]byte(inventoryRecording))
	require.NoError(t, err)
	resources := []abi.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"},
		{APIVersion: "v1", Kind: "Service"}}
	for mode, want := range map[abi.ExecutionMode]string{
		abi.ExecutionModeOPA:        `{"namespaces":{"n":{"metadata":{"name":"n"}}},"services":{"n":{"a":{"metadata":{"name":"a","namespace":"n"}}}}}`,
		abi.ExecutionModeGatekeeper: `{"cluster":{"v1":{"Namespace":{"n":{"metadata":{"name":"n"}}}}},"namespace":{"n":{"v1":{"Service":{"a":{"metadata":{"name":"a","namespace":"n"}}}}}}}`,
	} {
		replay := NewReplay(session)
		inventory := replay.Inventory(resources)
		document, generation, err := inventory.Inventory(t.Context(), mode)
		require.NoError(t, err)
		require.Equal(t, uint64(1), generation)
		require.JSONEq(t, want, string(document))
		// The next evaluation also has the inventory.
		again, _, err := inventory.Inventory(t.Context(), mode)
		require.NoError(t, err)
		require.Equal(t, document, again)
		if mode == abi.ExecutionModeOPA {
			require.Empty(t, replay.Left())
		}
	}
	require.Nil(t, NewReplay(session).Inventory(nil))

	_, _, err = NewReplay(session).
		Inventory([]abi.ContextAwareResource{{APIVersion: "v1", Kind: "Pod"}}).
		Inventory(t.Context(), abi.ExecutionModeOPA)
	require.EqualError(t, err, "Replay error: KubernetesListResourceAll of v1/Pod is not recorded")
	_, _, err = NewReplay(nil).Inventory(resources).Inventory(t.Context(), abi.ExecutionModeOPA)
	require.EqualError(t, err,
		"Replay error: the list of recorded responses is empty: KubernetesListResourceAll of v1/Namespace is not recorded")
}

// cluster holds some objects, and records the order in which they are asked for.
type cluster struct {
	lists, plurals map[string]string
	asked          []string
}

func (c *cluster) Call(_ context.Context, _ *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	var of struct{ Kind string }
	if err := json.Unmarshal(payload, &of); err != nil {
		return nil, err
	}
	c.asked = append(c.asked, operation+" "+of.Kind)
	list, found := c.lists[of.Kind]
	if !found {
		return nil, &capabilities.FailedError{Err: errors.New("Cannot find resource v1/" + of.Kind)}
	}
	return []byte(list), nil
}

func (c *cluster) PluralName(_ context.Context, _ *capabilities.Caller, _,
	kind string) (string, error) {
	c.asked = append(c.asked, "plural "+kind)
	return c.plurals[kind], nil
}

// A Rego policy sees the same inventory in a replay as in the recording. Hosts that require a
// certain order find it.
func TestRecordInventory(t *testing.T) {
	services := abi.ContextAwareResource{APIVersion: "v1", Kind: "Service"}
	namespaces := abi.ContextAwareResource{APIVersion: "v1", Kind: "Namespace"}
	for mode, test := range map[abi.ExecutionMode]struct {
		want  string
		asked []string
	}{
		abi.ExecutionModeOPA: {
			`{"namespaces":{},"services":{"n":{"a":{"metadata":{"name":"a","namespace":"n"},"spec":"<1>"}}}}`,
			[]string{
				"list_resources_all Namespace", "list_resources_all Service", "plural Namespace",
				"plural Service",
			},
		},
		abi.ExecutionModeGatekeeper: {
			`{"cluster":{},"namespace":{"n":{"v1":{"Service":{"a":{"metadata":{"name":"a","namespace":"n"},"spec":"<1>"}}}}}}`,
			[]string{"list_resources_all Namespace", "list_resources_all Service"},
		},
	} {
		live := &cluster{
			lists: map[string]string{
				"Namespace": `{"items":[]}`,
				"Service":   `{"items":[{"metadata":{"name":"a","namespace":"n"},"spec":"<1>"}]}`,
			},
			plurals: map[string]string{"Namespace": "namespaces", "Service": "services"},
		}
		recording := &Recording{}
		caller := &capabilities.Caller{
			Resources: []abi.ContextAwareResource{services, namespaces, services},
		}
		recorded, _, err := recording.Inventory(live, caller).Inventory(t.Context(), mode)
		require.NoError(t, err)
		require.JSONEq(t, test.want, string(recorded))
		require.Equal(t, test.asked, live.asked)

		text, err := recording.Session().Encode()
		require.NoError(t, err)
		session, err := Parse(text)
		require.NoError(t, err)
		require.Len(t, session, len(test.asked))
		replay := NewReplay(session)
		replayed, _, err := replay.Inventory(caller.Resources).Inventory(t.Context(), mode)
		require.NoError(t, err)
		require.Equal(t, string(recorded), string(replayed))
		require.Empty(t, replay.Left())
	}
	require.Nil(t, (&Recording{}).Inventory(&cluster{}, &capabilities.Caller{}))
}

// In a replay, a Rego policy sees the same failure as in the recording.
func TestRecordInventoryThatFails(t *testing.T) {
	recording := &Recording{}
	_, _, err := recording.Inventory(&cluster{}, caller).
		Inventory(t.Context(), abi.ExecutionModeOPA)
	require.EqualError(t, err, "Cannot find resource v1/Namespace")
	_, _, err = NewReplay(recording.Session()).Inventory(caller.Resources).
		Inventory(t.Context(), abi.ExecutionModeOPA)
	require.EqualError(t, err, "Cannot find resource v1/Namespace")

	// A kind without a name is also an error.
	recording = &Recording{}
	_, _, err = recording.Inventory(&cluster{lists: map[string]string{"Namespace": `{}`}}, caller).
		Inventory(t.Context(), abi.ExecutionModeOPA)
	require.EqualError(t, err, "the plural name of v1/Namespace is empty")
	_, _, err = recording.Inventory(&cluster{lists: map[string]string{"Namespace": `[]`}}, caller).
		Inventory(t.Context(), abi.ExecutionModeOPA)
	require.ErrorContains(t, err, "the list of v1/Namespace is invalid: ")
}

// Two kinds may have the same plural name only if both or neither are namespaced.
func TestInventoryWithoutRoom(t *testing.T) {
	kinds := []abi.ContextAwareResource{{APIVersion: "a/v1", Kind: "A"},
		{APIVersion: "b/v1", Kind: "B"}}
	inventory := func(a, b string) error {
		live := &cluster{
			lists:   map[string]string{"A": a, "B": b},
			plurals: map[string]string{"A": "things", "B": "things"},
		}
		_, _, err := (&Recording{}).Inventory(live, &capabilities.Caller{Resources: kinds}).
			Inventory(t.Context(), abi.ExecutionModeOPA)
		return err
	}
	inside, outside := `{"items":[{"metadata":{"name":"x","namespace":"n"}}]}`,
		`{"items":[{"metadata":{"name":"n"}}]}`
	require.NoError(t, inventory(inside, inside))
	require.EqualError(t, inventory(outside, inside),
		"two kinds share the path things.n.x, but only one of them is namespaced")
	require.EqualError(t, inventory(inside, outside),
		"two kinds share the path things.n, but only one of them is namespaced")
	require.EqualError(t, inventory(inside, `{"items":[{}]}`),
		"an object in the list of b/v1/B has no name")
}

// A session that cannot be replayed is not written.
func TestEncodeIsBounded(t *testing.T) {
	recording := &Recording{}
	for range 2 {
		recording.add(Request{Variant: variantLookupHost, Fields: map[string]any{"host": "a"}},
			bytes.Repeat([]byte("x"), MaxBytes/2+1), nil)
	}
	_, err := recording.Session().Encode()
	require.EqualError(t, err,
		"the session has 67108866 bytes or more, and no more than 67108864 can be replayed: make the policy read less")
}

// A session is either refused or parsed, and a parsed one can be written and parsed again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(recording))
	f.Add([]byte(inventoryRecording))
	f.Fuzz(func(t *testing.T, data []byte) {
		session, err := Parse(data)
		if err != nil {
			return
		}
		text, err := session.Encode()
		require.NoError(t, err)
		again, err := Parse(text)
		require.NoError(t, err, "%s", text)
		require.Len(t, again, len(session))
		for n := range session {
			require.True(t, session[n].Request.Equal(again[n].Request), "%s\n%s",
				session[n].Request, again[n].Request)
			require.Equal(t, session[n].Response, again[n].Response)
		}
	})
}
