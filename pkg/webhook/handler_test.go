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

package webhook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/webhook"
)

// policy adjusts a policy. Its module is the name of a guest in test/wat.
type policy func(*wasmadmission.Policy)

func answering(name, settings string, adjust ...policy) policy {
	return func(p *wasmadmission.Policy) {
		p.Name, p.Module, p.Settings.Raw = name, "answer", []byte(settings)
		for _, a := range adjust {
			a(p)
		}
	}
}

func mutating(p *wasmadmission.Policy)  { p.Mutating = true }
func monitored(p *wasmadmission.Policy) { p.Mode = wasmadmission.ModeMonitor }
func ignored(p *wasmadmission.Policy)   { p.FailurePolicy = admissionregistrationv1.Ignore }

func newHandler(t *testing.T, options webhook.Options, policies ...policy) *webhook.Handler {
	t.Helper()
	return newFixture(t, options, policies...).Handler
}

// fixture is a handler whose policies can be replaced.
type fixture struct {
	*webhook.Handler
	dispatcher *dispatch.Dispatcher
	engine     *engine.Engine
}

// newFixture returns a handler of policies. Its cluster has a namespace ns with the label
// team=blue.
func newFixture(t *testing.T, options webhook.Options, policies ...policy) *fixture {
	t.Helper()
	client := fake.NewClientset(&corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "ns", Labels: map[string]string{"team": "blue"}},
	})
	factory := informers.NewSharedInformerFactory(client, 0)
	dispatcher, err := dispatch.New(dispatch.Config{
		Client: client, Informers: factory,
		Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(), RequestTimeout: time.Minute,
		Exemptions: wasmadmission.Exemptions{Usernames: []string{"root"}},
		Excluded: []schema.GroupResource{{
			Group: "authentication.k8s.io", Resource: "tokenreviews",
		}},
	})
	require.NoError(t, err)
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	t.Cleanup(dispatcher.Close)
	options.Dispatcher = dispatcher
	f := &fixture{webhook.NewHandler(options), dispatcher, e}
	f.use(t, policies)
	return f
}

// use replaces the policies.
func (f *fixture) use(t *testing.T, policies []policy) {
	t.Helper()
	set := load(t, f.engine, policies)
	t.Cleanup(set.Close)
	f.dispatcher.Use(set)
}

func load(t *testing.T, e *engine.Engine, policies []policy) *policyset.Set {
	t.Helper()
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	config := &wasmadmission.WasmAdmissionConfiguration{Limits: wasmadmission.Limits{
		ModuleSize: 1 << 20, RequestSize: 3 << 20, ResponseSize: 1 << 20,
		HostCallPayloadSize: 1 << 20,
		LogLineSize:         1 << 10, HostCalls: 10, GuestLogLinesPerSecond: 10,
	}}
	for _, adjust := range policies {
		p := wasmadmission.Policy{
			FailurePolicy: admissionregistrationv1.Fail,
			MatchPolicy:   admissionregistrationv1.Equivalent, Mode: wasmadmission.ModeProtect,
			Settings: runtime.RawExtension{Raw: []byte("{}")},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{
					admissionregistrationv1.OperationAll,
				},
				Rule: admissionregistrationv1.Rule{
					APIGroups:   []string{"*"},
					APIVersions: []string{"v1"},
					Resources:   []string{"*/*"},
				},
			}},
		}
		adjust(&p)
		wasm, err := os.ReadFile(filepath.Join("..", "..", "test", "wat", p.Module+".wasm"))
		require.NoError(t, err)
		path := filepath.Join(directory, p.Module+".wasm")
		require.NoError(t, os.WriteFile(path, wasm, 0o600))
		p.Module = "file://" + path
		config.Policies = append(config.Policies, p)
	}
	set, errs := (&policyset.Loader{Engine: e}).Load(t.Context(), config)
	require.Empty(t, errs)
	return set
}

const configMap = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"ns","labels":{"app":"a"}},"data":{"n":"1"}}`

// request returns an admission request for a config map, with some fields replaced.
func request(t *testing.T, replaced string) map[string]any {
	t.Helper()
	fields := map[string]any{}
	require.NoError(t,
		json.Unmarshal(
			[]byte(
				`{"uid":"u","kind":{"group":"","version":"v1","kind":"ConfigMap"},"resource":{"group":"","version":"v1","resource":"configmaps"},
		"name":"c","namespace":"ns","operation":"CREATE","userInfo":{"username":"somebody","groups":["people"]},"object":`+configMap+`,"oldObject":null,"dryRun":false,
		"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}}`), &fields))
	require.NoError(t, json.Unmarshal([]byte(replaced), &fields))
	return fields
}

func body(t *testing.T, request any) string {
	t.Helper()
	data, err := json.Marshal(map[string]any{
		"apiVersion": "admission.k8s.io/v1",
		"kind":       "AdmissionReview",
		"request":    request,
	})
	require.NoError(t, err)
	return string(data)
}

func post(t *testing.T, h http.Handler, url, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// ask returns the answer to a request.
func ask(t *testing.T, h http.Handler, url string, request any) *admissionv1.AdmissionResponse {
	t.Helper()
	w := post(t, h, url, body(t, request))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &review))
	require.Equal(t, metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		review.TypeMeta)
	require.Equal(t, "u", string(review.Response.UID))
	return review.Response
}

func TestVerdicts(t *testing.T) {
	const no = `{"accepted":false,"message":"no","code":418,"warnings":["mind this"],"audit_annotations":{"who":"me","wasm-admission.validate":"forged"}}`
	trap := func(p *wasmadmission.Policy) { p.Name, p.Module = "p", "trap" }
	for _, test := range []struct {
		name     string
		policy   policy
		request  string
		allowed  bool
		code     int32
		message  string
		warnings []string
	}{
		{name: "accepted", policy: answering("p", `{"accepted":true}`), allowed: true},
		{
			name: "denied", policy: answering("p", no), code: 418,
			message:  `WasmAdmission policy "p" denied the request: no`,
			warnings: []string{"mind this"},
		},
		{
			name: "monitored", policy: answering("p", no, monitored), allowed: true,
			warnings: []string{"mind this"},
		},
		{name: "failed", policy: trap, code: 500, message: `WasmAdmission policy "p" failed: `},
		{
			name: "failed and monitored", policy: func(p *wasmadmission.Policy) {
				trap(p)
				monitored(p)
			}, allowed: true,
			warnings: []string{`WasmAdmission policy "p" failed and was ignored: `},
		},
		{
			name: "failed and ignored", policy: func(p *wasmadmission.Policy) {
				trap(p)
				ignored(p)
			}, allowed: true,
			warnings: []string{`WasmAdmission policy "p" failed and was ignored: `},
		},
		{
			name: "exempt", policy: answering("p", no), request: `{"userInfo":{"username":"root"}}`,
			allowed: true,
		},
		{
			name: "excluded", policy: answering("p", no),
			request: `{"resource":{"group":"authentication.k8s.io","version":"v1","resource":"tokenreviews"}}`,
			allowed: true,
		},
		{
			name: "of no interest any more", policy: answering("p", no),
			request: `{"resource":{"group":"","version":"v2","resource":"configmaps"}}`,
			allowed: true,
		},
		{
			name: "may not mutate", policy: answering("p", `{"accepted":true,"mutated_object":{}}`),
			code: 400, message: "not allow mutations",
		},
		{
			name:    "of another namespace",
			policy:  answering("p", no, func(p *wasmadmission.Policy) { p.Namespace = "other" }),
			allowed: true,
		},
		{
			name: "namespace selected", policy: answering("p", no, namespaces("blue")), code: 418,
			message: "denied the request: no", warnings: []string{"mind this"},
		},
		{
			name: "namespace not selected", policy: answering("p", no, namespaces("red")),
			allowed: true,
		},
		{
			name: "object selected", policy: answering("p", no, objects("a")), code: 418,
			message: "denied the request: no", warnings: []string{"mind this"},
		},
		{name: "object not selected", policy: answering("p", no, objects("b")), allowed: true},
		{
			name:    "object of another kind than said",
			policy:  answering("p", no, condition("object.data.n == '1'")),
			request: `{"object":{"apiVersion":"v1","kind":"Secret","metadata":{}}}`, code: 500,
			message: "is not available as",
		},
		{
			name: "condition met",
			policy: answering("p", no,
				condition(
					"object.data.n == '1' && namespaceObject.metadata.labels.team == 'blue'")),
			code: 418, message: "no", warnings: []string{"mind this"},
		},
		{
			name:    "condition not met",
			policy:  answering("p", no, condition("request.userInfo.username == 'nobody'")),
			allowed: true,
		},
		{
			name:   "condition fails",
			policy: answering("p", `{"accepted":true}`, condition("object.none.such == '1'")),
			code:   500, message: "evaluating the match conditions",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHandler(t, webhook.Options{}, test.policy)
			if test.request == "" {
				test.request = "{}"
			}
			response := ask(t, h, "/validate/p?timeout=10s", request(t, test.request))
			require.Equal(t, test.allowed, response.Allowed, response.Result)
			require.Nil(t, response.Patch)
			require.Len(t, response.Warnings, len(test.warnings))
			for n, warning := range test.warnings {
				require.Contains(t, response.Warnings[n], warning)
			}
			if !test.allowed {
				require.Equal(t, test.code, response.Result.Code)
				require.Contains(t, response.Result.Message, test.message)
			}
		})
	}
}

func namespaces(team string) policy {
	return func(p *wasmadmission.Policy) {
		p.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}
	}
}

func objects(app string) policy {
	return func(p *wasmadmission.Policy) {
		p.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	}
}

func condition(expression string) policy {
	return func(p *wasmadmission.Policy) {
		p.MatchConditions = []admissionregistrationv1.MatchCondition{{
			Name: "c", Expression: expression,
		}}
	}
}

// With the prefix that the apiserver adds, the annotations of guests have the same keys as in
// process.
func TestAuditAnnotations(t *testing.T) {
	h := newHandler(t, webhook.Options{},
		answering("p",
			`{"accepted":false,"message":"no","audit_annotations":{"who":"me","wasm-admission.validate":"forged"}}`,
			monitored))
	response := ask(t, h, "/validate/p", request(t, "{}"))
	require.Equal(t, "me", response.AuditAnnotations["who"])
	require.Contains(t, response.AuditAnnotations["wasm-admission.validate"], `"policy":"p"`)
	require.Contains(t, response.AuditAnnotations["wasm-admission.validate"], `"verdict":"denied"`)
	require.Len(t, response.AuditAnnotations, 2)

	h = newHandler(t, webhook.Options{}, func(p *wasmadmission.Policy) {
		p.Name, p.Module = "p", "trap"
		ignored(p)
	})
	response = ask(t, h, "/validate/p", request(t, "{}"))
	require.Equal(t, "p", response.AuditAnnotations["wasm-admission.failed-open.validate"])
	response = ask(t, h, "/validate/p", request(t, `{"userInfo":{"username":"root"}}`))
	require.Equal(t, map[string]string{"wasm-admission.exempt": "user"}, response.AuditAnnotations)
}

func TestMutations(t *testing.T) {
	object := func(text string) string { return `{"accepted":true,"mutated_object":` + text + `}` }
	for _, test := range []struct {
		name, answer, patch, message string
		adjust                       policy
	}{
		{name: "none", answer: `{"accepted":true}`, adjust: mutating},
		{name: "as it was", answer: object(configMap), adjust: mutating},
		{
			name:   "changed",
			answer: object(strings.Replace(configMap, `"n":"1"`, `"n":"2","m":""`, 1)),
			adjust: mutating,
			patch:  `[{"op":"add","path":"/data/m","value":""},{"op":"replace","path":"/data/n","value":"2"}]`,
		},
		{
			name:   "changed and monitored",
			answer: object(strings.Replace(configMap, `"n":"1"`, `"n":"2"`, 1)),
			adjust: func(p *wasmadmission.Policy) { mutating(p); monitored(p) },
		},
		{
			name:   "another name",
			answer: object(strings.Replace(configMap, `"name":"c"`, `"name":"d"`, 1)),
			adjust: mutating, message: `its metadata.name is "d", but the request has "c"`,
		},
		{
			name:   "another namespace",
			answer: object(strings.Replace(configMap, `"ns"`, `"other"`, 1)), adjust: mutating,
			message: `its metadata.namespace is "other"`,
		},
		{
			name:   "another kind",
			answer: object(strings.Replace(configMap, `ConfigMap`, `Secret`, 1)), adjust: mutating,
			message: `its kind is "Secret" of "v1"`,
		},
		{name: "no object", answer: object(`5`), adjust: mutating, message: `mutated object: `},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHandler(t, webhook.Options{}, answering("p", test.answer, test.adjust))
			response := ask(t, h, "/mutate/p", request(t, "{}"))
			if test.message != "" {
				require.False(t, response.Allowed)
				require.Contains(t, response.Result.Message, test.message)
				require.Nil(t, response.Patch)
				return
			}
			require.True(t, response.Allowed, response.Result)
			if test.patch == "" {
				require.Nil(t, response.Patch)
				require.Nil(t, response.PatchType)
				return
			}
			require.JSONEq(t, test.patch, string(response.Patch))
			require.Equal(t, admissionv1.PatchTypeJSONPatch, *response.PatchType)
			require.Contains(t, response.AuditAnnotations["wasm-admission.mutate.round_0"],
				`"mutated":true`)
		})
	}
}

// A log line names a request by the UID that the apiserver knows.
func TestTheLogHasTheUIDOfTheReview(t *testing.T) {
	for name, test := range map[string]struct {
		policy policy
		url    string
		line   string
	}{
		"failed": {func(p *wasmadmission.Policy) { p.Name, p.Module = "p", "trap" },
			"/validate/p", "Policy failed"},
		"monitored": {answering("p", `{"accepted":false,"message":"no"}`, monitored), "/validate/p",
			"Policy in monitor mode would have denied a request"},
		"mutating": {func(p *wasmadmission.Policy) {
			p.Name, p.Module, p.Mutating = "p", "trap", true
		}, "/mutate/p", "Policy failed"},
		"no policy": {answering("p", `{"accepted":true}`), "/validate/q",
			"Admission review was not answered"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandler(t, webhook.Options{}, test.policy)
			var lines []string
			logger := funcr.New(func(_, line string) { lines = append(lines, line) },
				funcr.Options{})
			r := httptest.NewRequestWithContext(klog.NewContext(t.Context(), logger),
				http.MethodPost, test.url,
				strings.NewReader(body(t, request(t, `{"uid":"uid-of-the-review"}`))))
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(httptest.NewRecorder(), r)
			require.Len(t, lines, 1)
			require.Contains(t, lines[0], test.line)
			require.Contains(t, lines[0], `"requestUID"="uid-of-the-review"`)
		})
	}
}

// A policy gets the request of the review without null fields, in the version that the apiserver
// has converted it to, along with the version that the client asked for.
func TestPoliciesGetTheRequestOfTheReview(t *testing.T) {
	contains := func(text string) policy {
		return func(p *wasmadmission.Policy) {
			p.Name, p.Module, p.Settings.Raw = "p", "contains",
				fmt.Appendf(nil, `{"text":%q}`, text)
		}
	}
	const converted = `{"requestKind":{"group":"","version":"v1beta1","kind":"ConfigMap"},"requestResource":{"group":"","version":"v1beta1","resource":"configmaps"}}`
	for text, want := range map[string]bool{
		"v1beta1": true, "ConfigMap": true, "CreateOptions": true, "dryRun": true,
		"oldObject": false, "null": false, "subResource": false,
	} {
		for _, adjust := range []policy{
			nil,
			condition(
				"request.requestKind.version == 'v1beta1' && request.kind.version == 'v1' && object.data.n == '1'"),
		} {
			h := newHandler(t, webhook.Options{}, func(p *wasmadmission.Policy) {
				contains(text)(p)
				if adjust != nil {
					adjust(p)
				}
			})
			response := ask(t, h, "/validate/p", request(t, converted))
			require.Equal(t, want, response.Allowed, "%s: %v", text, response.Result)
		}
	}
}

func TestBadRequestsHaveNoAnswer(t *testing.T) {
	h := newHandler(t, webhook.Options{MaxBodyBytes: 4 << 10}, answering("p", `{"accepted":true}`),
		answering("m", `{"accepted":true}`, mutating))
	good := body(t, request(t, "{}"))
	for _, test := range []struct {
		name, url, body string
		code            int
		message         string
	}{
		{"no policy", "/validate/q", good, http.StatusNotFound,
			`no policy of this name is served here at /validate: "q"`},
		{"of the other phase", "/mutate/p", good, http.StatusNotFound, "no policy of this name"},
		{"of the other phase, mutating", "/validate/m", good, http.StatusNotFound,
			"no policy of this name"},
		{"no path", "/validate/", good, http.StatusNotFound, ""},
		{"no JSON", "/validate/p", "{", http.StatusBadRequest, "decoding the admission review"},
		{"another kind", "/validate/p", `{"apiVersion":"v1","kind":"Pod"}`, http.StatusBadRequest,
			`the body is "Pod" of "v1": send an AdmissionReview of admission.k8s.io/v1`},
		{"another version", "/validate/p",
			strings.Replace(good, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1),
			http.StatusBadRequest, "send an AdmissionReview of admission.k8s.io/v1"},
		{"no request", "/validate/p", body(t, nil), http.StatusBadRequest, "no request"},
		{"no uid", "/validate/p", body(t, request(t, `{"uid":""}`)), http.StatusBadRequest,
			"request.uid"},
		{"long uid", "/validate/p", body(t, request(t, `{"uid":"`+strings.Repeat("u", 129)+`"}`)),
			http.StatusBadRequest,
			"request.uid of the admission review has 129 bytes: at most 128 are allowed"},
		{"no operation", "/validate/p", body(t, request(t, `{"operation":""}`)),
			http.StatusBadRequest, `request.operation of the admission review is ""`},
		{"operation that there is none of", "/validate/p",
			body(t, request(t, `{"operation":"create"}`)), http.StatusBadRequest,
			`is "create": it has to be one of [CONNECT CREATE DELETE UPDATE]`},
		{"object that is none", "/validate/p", body(t, request(t, `{"object":[]}`)),
			http.StatusBadRequest, "have to be objects or null"},
		{"old object that is none", "/validate/p", body(t, request(t, `{"oldObject":"x"}`)),
			http.StatusBadRequest, "have to be objects or null"},
		{"timeout", "/validate/p?timeout=never", good, http.StatusBadRequest,
			`"never" is not a positive duration`},
		{"negative timeout", "/validate/p?timeout=-1s", good, http.StatusBadRequest,
			"not a positive duration"},
		{"too large", "/validate/p", good + strings.Repeat(" ", 4<<10),
			http.StatusRequestEntityTooLarge, "more than 4096 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := post(t, h, test.url, test.body)
			require.Equal(t, test.code, w.Code, w.Body.String())
			require.Contains(t, w.Body.String(), test.message)
		})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w,
		httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/validate/p",
			strings.NewReader(good)))
	require.Equal(t, http.StatusUnsupportedMediaType, w.Code)
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/validate/p", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)

	// Of unknown length.
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/validate/p",
		struct{ *bytes.Reader }{bytes.NewReader(make([]byte, 5<<10))})
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
}

// The apiserver learns later than the server that a policy is gone or has another phase.
func TestPoliciesThatAreGoneAnswerForAWhile(t *testing.T) {
	f := newFixture(t, webhook.Options{}, answering("p", `{"accepted":false,"message":"first"}`),
		answering("q", `{"accepted":false,"message":"first"}`))
	f.use(t, []policy{
		answering("p", `{"accepted":true}`),
		answering("q", `{"accepted":true}`, mutating),
	})
	require.True(t, ask(t, f, "/validate/p", request(t, "{}")).Allowed)
	require.Contains(t, ask(t, f, "/validate/q", request(t, "{}")).Result.Message, "first")
	require.True(t, ask(t, f, "/mutate/q", request(t, "{}")).Allowed)
	require.Equal(t, http.StatusNotFound, post(t, f, "/mutate/p", body(t, request(t, "{}"))).Code)
}

// A selector does not leave out an object whose labels cannot be read.
func TestObjectsThatCannotBeDecodedDoNotPass(t *testing.T) {
	h := newHandler(t, webhook.Options{}, answering("p", `{"accepted":true}`, objects("b")))
	text := strings.Replace(body(t, request(t, "{}")), `"n":"1"`, `"n":1e999`, 1)
	w := post(t, h, "/validate/p", text)
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), "decoding the admission review")
}

// The time that the apiserver waits ends an evaluation, whatever the failure policy is: the
// apiserver applies that itself.
func TestTheTimeoutOfTheURLIsObeyed(t *testing.T) {
	h := newHandler(t, webhook.Options{}, func(p *wasmadmission.Policy) {
		p.Name, p.Module = "p", "spin"
		p.TimeoutEvalSeconds = new(int32(30))
		ignored(p)
	})
	w := post(t, h, "/validate/p?timeout=50ms", body(t, request(t, "{}")))
	require.Equal(t, http.StatusGatewayTimeout, w.Code, w.Body.String())
}
