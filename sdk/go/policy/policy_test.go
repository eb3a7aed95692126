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

package policy

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/guest"
)

// testSettings select what testPolicy does.
type testSettings struct {
	Do     string            `json:"do"`
	Limit  uint8             `json:"limit"`
	Ratio  float64           `json:"ratio"`
	Labels map[string]string `json:"labels"`
	Nested struct {
		Names []string `json:"names"`
		On    bool     `json:"on"`
	} `json:"nested"`
}

func (s testSettings) Validate() error {
	if s.Do == "refuse" {
		return errors.New("do: nothing is to be refused")
	}
	return nil
}

var seen, none *Request

func init() {
	Register(func(r *Request, s testSettings) (Response, error) {
		seen = r
		switch s.Do {
		case "panic":
			panic("what a mess")
		case "dereference":
			return Reject(none.Name), nil
		case "fail":
			return Accept(), errors.New("cannot tell")
		case "unmarshalable":
			return Mutate(func() {}), nil
		case "object":
			object, err := Object[map[string]any](r)
			if err != nil {
				return Response{}, err
			}
			return Mutate(object), SetNestedField(object, "b", "metadata", "labels", "a")
		}
		return Accept(), nil
	})
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct{ name, review, want, wantErr string }{
		{"accept", `{"request":{},"settings":{}}`, `{"accepted":true}`, ""},
		{"settings first", `{"settings":{},"request":{}}`, `{"accepted":true}`, ""},
		{"mutate", `{"request":{"object":{"n":9007199254740993}},"settings":{"do":"object"}}`,
			`{"accepted":true,"mutated_object":{"metadata":{"labels":{"a":"b"}},"n":9007199254740993}}`,
			""},
		{"no object", `{"request":{"object":null},"settings":{"do":"object"}}`, "",
			"the request carries no object"},
		{"object that is none", `{"request":{"object":[]},"settings":{"do":"object"}}`, "",
			"decode the request's object: json: cannot unmarshal array"},
		{"panic", `{"request":{},"settings":{"do":"panic"}}`, "", "panic: what a mess"},
		{"panic of the runtime", `{"request":{},"settings":{"do":"dereference"}}`, "",
			"panic: runtime error: invalid memory address"},
		{"error beside a verdict", `{"request":{},"settings":{"do":"fail"}}`, "", "cannot tell"},
		{"mutated into nothing", `{"request":{},"settings":{"do":"unmarshalable"}}`, "",
			"encode the mutated object: json: unsupported type"},
		{"unknown setting", `{"request":{},"settings":{"a":1}}`, "", `settings: unknown field "a"`},
		{"no settings", `{"request":{}}`, "", "decode the review: there are no settings"},
		{"no request", `{"settings":{}}`, "", "decode the review: there is no request"},
		{"request that is none", `{"request":[],"settings":{}}`, "",
			"decode the review: request: unexpected '['"},
		{"field that is none", `{"request":{"uid":1},"settings":{}}`, "",
			"decode the review: request: uid: json: cannot unmarshal number"},
		{"breaks off", `{"request":{},"settings":{}`, "", "decode the review: unexpected end"},
		{"two reviews", `{"request":{},"settings":{}} {}`, "", "decode the review: unexpected '{'"},
		{"nothing", ``, "", "decode the review: unexpected end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := guest.Call("validate", []byte(tc.review))
			expect(t, got, err, tc.want, tc.wantErr)
		})
	}
}

func TestRequest(t *testing.T) {
	want := &Request{
		UID: "u", Kind: GroupVersionKind{"apps", "v1", "Deployment"},
		Resource:    GroupVersionResource{"apps", "v1", "deployments"},
		SubResource: "scale", RequestKind: GroupVersionKind{"a", "b", "c"},
		RequestResource:    GroupVersionResource{"d", "e", "f"},
		RequestSubResource: "status", Name: "n", Namespace: "shop", Operation: Update,
		UserInfo: UserInfo{
			Username: "ann",
			UID:      "1",
			Groups:   []string{"dev"},
			Extra:    map[string][]string{"k": {"v"}},
		},
		Object: json.RawMessage(`{"a":1}`), OldObject: json.RawMessage(`{"a":2}`),
		Options: json.RawMessage(`{}`), DryRun: true,
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	_, err = guest.Call("validate", []byte(`{"request":`+string(text)+`,"settings":{}}`))
	if err != nil || !reflect.DeepEqual(seen, want) {
		t.Errorf("%v: got %+v, want %+v", err, seen, want)
	}
	nulls := `{"request":{"new":[1],"userInfo":null,"kind":null,"options":null},"settings":{}}`
	if _, err = guest.Call("validate", []byte(nulls)); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(seen, &Request{}) {
		t.Errorf("nulls have become %+v", seen)
	}
}

func TestValidateSettings(t *testing.T) {
	for settings, want := range map[string]string{
		`{}`:                           "",
		`{"labels":{"a":"b"}}`:         "",
		`{"do":"refuse"}`:              "do: nothing is to be refused",
		`{"do":1}`:                     "do: a string is expected, not a number",
		`{"limit":300}`:                "limit: an integer (uint8) is expected, not 300",
		`{"ratio":"1"}`:                "ratio: a number is expected, not a string",
		`{"labels":[]}`:                "labels: an object is expected, not a list",
		`{"nested":{"names":"a"}}`:     "nested.names: a list is expected, not a string",
		`{"nested":{"on":{}}}`:         "nested.on: a boolean is expected, not an object",
		`{"nested":{"names":["a",1]}}`: "nested.names: a string is expected, not a number",
		`{"nested":{"other":1}}`:       `unknown field "other"`,
		`[]`:                           "the settings: an object is expected, not a list",
		`{} {}`:                        "unexpected '{' at byte 3",
		``:                             "EOF",
	} {
		got, err := guest.Call("validate_settings", []byte(settings))
		answer, _ := json.Marshal(map[string]any{"valid": false, "message": want})
		if want == "" {
			answer = []byte(`{"valid":true}`)
		}
		var decoded, wanted map[string]any
		if err = errors.Join(err, json.Unmarshal(got, &decoded),
			json.Unmarshal(answer, &wanted)); err != nil || !maps.Equal(decoded, wanted) {
			t.Errorf("%s: %s, %v, want %s", settings, got, err, answer)
		}
	}
}

func TestProtocol(t *testing.T) {
	got, err := guest.Call("protocol_version", nil)
	expect(t, got, err, `"v1"`, "")
	got, err = guest.Call("no_such_operation", nil)
	expect(t, got, err, "", `could not find function "no_such_operation"`)
	defer func() {
		if recover() == nil {
			t.Error("a second policy is registered")
		}
	}()
	RegisterRaw(func(json.RawMessage, NoSettings) (Response, error) { return Accept(), nil })
}

func TestPartialObjectMetadata(t *testing.T) {
	r := &Request{
		OldObject: json.RawMessage(
			`{"apiVersion":"v1","spec":{"a":["}"]},"kind":"Pod","metadata":{"name":"web","labels":{"a":"b"},"deletionTimestamp":null}}`),
	}
	got, err := OldObject[PartialObjectMetadata](r)
	want := PartialObjectMetadata{
		APIVersion: "v1",
		Kind:       "Pod",
		Metadata:   ObjectMeta{Name: "web", Labels: map[string]string{"a": "b"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: got %+v, want %+v", err, got, want)
	}
	for text, wantErr := range map[string]string{
		`[]`:                             "decode the request's object: unexpected '['",
		`{"metadata":{"labels":{"a":1}}`: "decode the request's object: metadata.labels: json: cannot unmarshal number",
		`{"metadata":{}`:                 "decode the request's object: unexpected end",
	} {
		_, err = Object[PartialObjectMetadata](&Request{Object: json.RawMessage(text)})
		expect(t, nil, err, "", wantErr)
	}
}

func TestObjectMetaIsReadAsByEncodingJSON(t *testing.T) {
	for _, text := range []string{
		`null`,
		`{}`,
		`{"name":"a","generateName":"b-","namespace":"c","labels":{"a":"\u0041\n","":"é"},
			"managedFields":[{"fieldsV1":{"f:metadata":{".":{},"name":"not this"}}}],
			"annotations":{"b":"{\"c\":1}"},"finalizers":["x","y"],
			"deletionTimestamp":"2026-01-01T00:00:00Z"}`,
		`{"name":null,"labels":null,"annotations":{},"deletionTimestamp":null}`,
		`{"labels":{"a":null,"b":"1","b":"2"},"finalizers":[null]}`,
		`{"labels":{},"finalizers":[]}`,
	} {
		type fields ObjectMeta
		var got ObjectMeta
		var want fields
		if err := errors.Join(got.decode([]byte(text)), json.Unmarshal([]byte(text), &want)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(got, ObjectMeta(want)) {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

func TestResponse(t *testing.T) {
	for want, response := range map[string]Response{
		`{"accepted":false}`: {},
		`{"accepted":true}`:  Accept(),
		`{"accepted":false,"message":"no \u003ca\u003e"}`: Rejectf("no <%s>", "a"),
		`{"accepted":false,"message":"no","code":403}`:    Reject("no").WithCode(403),
		`{"accepted":true,"warnings":["a","b"]}`: Accept().WithWarnings("a").
			WithWarnings("b"),
		`{"accepted":true,"audit_annotations":{"a":"2","b":"1"}}`: Accept().WithAuditAnnotation("a",
			"1").WithAuditAnnotation("b", "1").WithAuditAnnotation("a", "2"),
		`{"accepted":true,"mutated_object":{"a": "<"}}`: Mutate(
			json.RawMessage(`{"a": "<"}`)),
		`{"accepted":true,"mutated_object":{"A":1}}`: Mutate(struct{ A int }{1}),
		`{"new":1}`: RawResponse(json.RawMessage(`{"new":1}`)),
	} {
		got, err := response.encode()
		expect(t, got, err, want, "")
	}
}

// A response that another one was derived from does not change.
func TestResponsesAreValues(t *testing.T) {
	base := Accept().WithWarnings("a").WithAuditAnnotation("a", "1")
	base.Warnings = append(make([]string, 0, 8), base.Warnings...)
	first, second := base.WithWarnings("b"), base.WithWarnings("c").WithAuditAnnotation("a", "2")
	if first.Warnings[1] != "b" || second.Warnings[1] != "c" || base.AuditAnnotations["a"] != "1" {
		t.Errorf("%+v, %+v, %+v", base, first, second)
	}
}

func TestNestedField(t *testing.T) {
	object := map[string]any{"a": map[string]any{"b": 1, "n": nil}, "list": []any{}}
	if value, found := NestedField(object, "a", "b"); !found || value != 1 {
		t.Error(value, found)
	}
	for _, fields := range [][]string{{"x"}, {"a", "x"}, {"a", "b", "c"}, {"list", "0"}} {
		if value, found := NestedField(object, fields...); found {
			t.Error(fields, value)
		}
	}
	for _, fields := range [][]string{{"a", "b"}, {"new"}, {"new2", "x", "y"}, {"a", "n", "z"}} {
		if err := SetNestedField(object, "v", fields...); err != nil {
			t.Error(err)
		}
		if value, _ := NestedField(object, fields...); value != "v" {
			t.Error(fields, value)
		}
	}
	expect(t, nil, SetNestedField(object, 1, "a", "b", "c"), "",
		"a.b: an object is expected, not string")
	expect(t, nil, SetNestedField(object, 1, "list", "c"), "",
		"list: an object is expected, not []interface {}")
}

func TestHost(t *testing.T) {
	_, err := HostCall("kubewarden", "kubernetes", "get_resource", nil)
	expect(t, nil, err, "", "host calls need a host")
	var payload string
	guest.WithHost(func(binding, namespace, operation string, p []byte) ([]byte, error) {
		payload = binding + " " + namespace + " " + operation + " " + string(p)
		return nil, errors.New("the log is full")
	}, func() { err = Log(LogWarning, "hot", map[string]any{"degrees": 30, "message": "cold"}) })
	var hostError HostError
	if !errors.As(err, &hostError) || hostError != "the log is full" {
		t.Error(err)
	}
	expect(t, []byte(payload), nil,
		`kubewarden tracing log {"degrees":30,"level":"warning","message":"hot"}`, "")
}

func expect(t *testing.T, got []byte, err error, want, wantErr string) {
	t.Helper()
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
		t.Errorf("the error is %v, want %q", err, wantErr)
	}
}
