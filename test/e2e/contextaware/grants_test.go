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

package contextaware

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// grants are the grants of policies with the same guest, keyed by the suffix of their names. To
// read Secrets, a policy must name the kind and be listed in secretReaders. Of the policies for
// secrets, only the last one does both.
var grants = []struct {
	name, capabilities, kinds string
	reader                    bool
}{
	{"none", "", "", false},
	{"kinds", "",
		"{apiVersion: v1, kind: Namespace}, {apiVersion: v1, kind: ConfigMap}, {apiVersion: v1, kind: Secret}",
		true},
	{"capabilities", "'*'", "", true},
	{"both", "'*'", "{apiVersion: v1, kind: Namespace}, {apiVersion: v1, kind: ConfigMap}", true},
	{"secrets-named", "'*'", "{apiVersion: v1, kind: Secret}", false},
	{"secrets", "'*'", "{apiVersion: v1, kind: Secret}", true},
}

// tellers are guests that report what they can reach: with the host call that a request asks for,
// or everything in their data.
var tellers = map[string]string{
	"wapc":       "bin/callers/wapc.wasm",
	"wasi":       "bin/callers/wasi.wasm",
	"opa":        "test/policies/internal/sight/opa.wasm",
	"gatekeeper": "test/policies/internal/sight/gatekeeper.wasm",
}

// callers are the tellers that make host calls.
var callers = []string{"wapc", "wasi"}

// tellingConfig returns a configuration with a policy for each teller and each of the grants. Only
// the grants restrict the policies, because their user may read everything.
func tellingConfig(directory string) string {
	var policies strings.Builder
	var readers []string
	for teller := range tellers {
		for _, g := range grants {
			name := teller + "-" + g.name
			if g.reader {
				readers = append(readers, name)
			}
			calls := ""
			if teller == "wapc" || teller == "wasi" {
				calls = g.capabilities
			}
			fmt.Fprintf(&policies,
				"    - {name: %s, module: 'file://%s/%s.wasm', hostCapabilities: [%s], contextAwareResources: [%s], objectSelector: {matchLabels: {try: %s}}}\n",
				name, directory, teller, calls, g.kinds, name)
		}
	}
	return `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    circuitBreaker: {failures: 0}
    capabilities:
      kubernetes:
        secretReaders: [` + strings.Join(readers, ", ") + `]
        getResource: {cacheEntries: 1, cacheTTL: 1m}
        canI: {cacheEntries: 2, cacheTTL: 1m}
    policies:
` + policies.String()
}

// telling is a server with the configuration of tellingConfig.
type telling struct {
	*harness.Server
	client *kubernetes.Clientset
}

// password is the value in a Secret, and secretly is its encoding in responses.
const password, secretly = "hunter2", "aHVudGVyMg=="

func startTelling(t *testing.T) *telling {
	t.Helper()
	s := &telling{
		Server: harness.Start(t,
			harness.Options{
				FeatureGate:     true,
				AdmissionConfig: tellingConfig(copyModules(t, tellers)),
			}),
	}
	s.client = s.Clientset()
	_, err := s.client.RbacV1().ClusterRoles().Create(t.Context(),
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "eyes"}, Rules: []rbacv1.PolicyRule{
			{
				APIGroups: []string{""}, Resources: []string{"namespaces", "configmaps", "secrets"},
				Verbs: []string{"get", "list", "watch"},
			},
		}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.client.RbacV1().ClusterRoleBindings().
		Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "eyes"},
			Subjects: []rbacv1.Subject{{
				APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:wasm-admission",
			}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.client.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "s"},
		StringData: map[string]string{"password": password}}, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, func() bool {
		return strings.Contains(s.ask(t, "wapc-secrets", "kubernetes/get_resource", getSecret),
			secretly)
	}, "the role must take effect")
	return s
}

// ask makes a policy make a host call, and returns the outcome: the text after the policy's name in
// the server's response.
func (s *telling) ask(t *testing.T, policy, path, payload string) string {
	t.Helper()
	namespace, operation, _ := strings.Cut(path, "/")
	_, err := s.client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "any-",
			Labels:       map[string]string{"try": policy},
		},
		BinaryData: map[string][]byte{
			"binding":   []byte("kubewarden"),
			"namespace": []byte(namespace),
			"operation": []byte(operation),
			"payload":   []byte(payload),
		},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	status := apierrors.APIStatus(nil)
	require.ErrorAs(t, err, &status)
	_, said, found := strings.Cut(status.Status().Message, fmt.Sprintf("policy %q ", policy))
	require.True(t, found, err)
	return said
}

const (
	getSecret    = `{"api_version": "v1", "kind": "Secret", "name": "s", "namespace": "default"}`
	listSecrets  = `{"api_version": "v1", "kind": "Secret"}`
	listSecretsI = `{"api_version": "v1", "kind": "Secret", "namespace": "default"}`
)

// hostCalls returns a call of each capability, with a part of the response that a policy with the
// grant gets.
func hostCalls(t *testing.T) map[string][2]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now(),
		NotAfter:     time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	var numbers []int
	for _, b := range certificate {
		numbers = append(numbers, int(b))
	}
	crypto, err := json.Marshal(map[string]any{
		"cert": map[string]any{"encoding": "Der", "data": numbers},
	})
	require.NoError(t, err)

	const noImages = "which policies may not ask about"
	return map[string][2]string{
		"kubernetes/get_resource": {`{"api_version": "v1", "kind": "Namespace", "name": "default"}`,
			`answered: {"apiVersion":"v1","kind":"Namespace"`},
		"kubernetes/list_resources_all": {`{"api_version": "v1", "kind": "Namespace"}`,
			`"kind":"NamespaceList"`},
		"kubernetes/list_resources_by_namespace": {`{"api_version": "v1", "kind": "ConfigMap", "namespace": "default"}`,
			`"kind":"ConfigMapList"`},
		"kubernetes/can_i": {`{"subject_access_review": {"user": "system:wasm-admission", "resource_attributes": {"resource": "secrets", "verb": "get"}}}`,
			`answered: {"allowed":true`},
		"net/v1/dns_lookup_host":           {`"localhost"`, `answered: {"ips":[`},
		"crypto/v1/is_certificate_trusted": {string(crypto), `answered: {"trusted":false`},
		"oci/v1/verify": {`{"SigstorePubKeyVerify": {"image": "busybox", "pub_keys": ["x"]}}`,
			noImages},
		"oci/v2/verify": {`{"type": "SigstorePubKeyVerify", "image": "busybox", "pub_keys": ["x"]}`,
			noImages},
		"oci/v1/manifest_digest":     {`"busybox"`, noImages},
		"oci/v1/oci_manifest":        {`"busybox"`, noImages},
		"oci/v1/oci_manifest_config": {`"busybox"`, noImages},
	}
}

func withoutCapability(path string) string {
	return "denied the request: failed: Policy has not been granted access to the '" + path +
		"' host capability. The violation has been reported."
}

func withoutKind(apiVersion, kind string) string {
	return "denied the request: failed: Policy has not been granted access to Kubernetes " +
		apiVersion + "/" + kind + " resources. The violation has been reported."
}

// In process, a policy without a grant cannot use any capability with either calling convention,
// and is told which grant is missing. With the grant, the capability responds.
func TestGrantsOnTheServer(t *testing.T) {
	s := startTelling(t)
	calls := hostCalls(t)
	require.Len(t, calls, len(capabilities.Paths()))
	for _, caller := range callers {
		t.Run(caller, func(t *testing.T) {
			for _, path := range capabilities.Paths() {
				payload, answer := calls[path][0], calls[path][1]
				require.Contains(t, s.ask(t, caller+"-both", path, payload), answer)
				for _, without := range []string{"none", "kinds"} {
					require.Equal(t, withoutCapability(path),
						s.ask(t, caller+"-"+without, path, payload))
				}
				looks := strings.HasPrefix(path, "kubernetes/") && path != "kubernetes/can_i"
				withoutKinds := s.ask(t, caller+"-capabilities", path, payload)
				if !looks {
					require.Contains(t, withoutKinds, answer)
					continue
				}
				kind := regexp.MustCompile(`"kind": "(\w+)"`).FindStringSubmatch(payload)[1]
				require.Equal(t, withoutKind("v1", kind), withoutKinds)
			}
			s.ask(t, caller+"-none", "tracing/log", `{"level": "info", "message": "from `+caller+
				`"}`)
			eventually(t, func() bool {
				return strings.Contains(s.Logs(), `text="from `+caller+`"`)
			}, "logging must not need a grant")
		})
	}
	t.Run("secrets", func(t *testing.T) { checkSecrets(t, s) })
	t.Run("names of kinds", func(t *testing.T) { checkNamesOfKinds(t, s) })
	t.Run("what is kept", func(t *testing.T) { checkWhatIsKept(t, s) })
	require.NotContains(t, s.Logs(), "panic")
	require.NotContains(t, s.Logs(), password)
}

// checkSecrets tries to read a Secret with every host call, with one grant missing.
func checkSecrets(t *testing.T, s *telling) {
	t.Helper()
	for _, caller := range callers {
		for path, payload := range map[string]string{
			"kubernetes/get_resource":                getSecret,
			"kubernetes/list_resources_all":          listSecrets,
			"kubernetes/list_resources_by_namespace": listSecretsI,
		} {
			// Do this first, so that the Secret is cached when policies without the grant ask.
			require.Contains(t, s.ask(t, caller+"-secrets", path, payload), secretly)
			for _, without := range []string{"none", "kinds"} {
				require.Equal(t, withoutCapability(path),
					s.ask(t, caller+"-"+without, path, payload))
			}
			for _, without := range []string{"capabilities", "both", "secrets-named"} {
				require.Equal(t, withoutKind("v1", "Secret"),
					s.ask(t, caller+"-"+without, path, payload))
			}
			for _, masked := range []string{
				`"field_masks": ["data.password"]`, `"field_masks": ["metadata"]`,
				`"disable_cache": true`, `"label_selector": "!x"`,
			} {
				require.Equal(t, withoutKind("v1", "Secret"),
					s.ask(t, caller+"-secrets-named", path,
						strings.Replace(payload, "{", "{"+masked+", ", 1)))
			}
		}
	}
	for _, teller := range []string{"opa", "gatekeeper"} {
		require.Contains(t, s.ask(t, teller+"-secrets", "", ""), secretly)
		require.Contains(t, s.ask(t, teller+"-kinds", "", ""), secretly,
			"data must not need a host capability")
		require.Equal(t, "denied the request: sees nothing", s.ask(t, teller+"-none", "", ""))
		require.Equal(t, "denied the request: sees nothing",
			s.ask(t, teller+"-capabilities", "", ""))
		both := s.ask(t, teller+"-both", "", "")
		require.Contains(t, both, `"kube-system"`)
		require.NotContains(t, both, secretly)
		require.NotContains(t, strings.ToLower(both), "secret")
		require.Contains(t, s.ask(t, teller+"-secrets-named", "", ""),
			"Policy has not been granted access to Kubernetes v1/Secret resources. The violation has been reported.")
	}
	eventually(t, func() bool {
		return strings.Contains(s.Logs(), "Secrets need a separate grant")
	}, "the log must say how to grant access")
}

// checkNamesOfKinds tries to read Secrets and granted kinds under other names.
func checkNamesOfKinds(t *testing.T, s *telling) {
	t.Helper()
	names := [][2]string{
		{"v1", "secret"}, {"v1", "Secrets"}, {"v1", "secrets"}, {"v1", "SECRET"}, {"v1", "Secret "},
		{"v1", " Secret"}, {"v1", "SecretList"}, {"v1", "Secret/s"},
		{"v1", "Secret\x00"}, {"v1", "ConfigMap\x00Secret"}, {"v1", "ConfigMap/../Secret"},
		{"v1", "Ѕecret"}, {"v1", "*"}, {"v1", ""},
		{"", "Secret"}, {"/v1", "Secret"}, {"core/v1", "Secret"}, {"v1 ", "Secret"},
		{"V1", "Secret"}, {"v1/", "Secret"}, {"v1/../v1", "Secret"}, {"*", "Secret"},
		{"v1", "configmap"}, {"v1", "configmaps"}, {"", "ConfigMap"}, {"core/v1", "ConfigMap"},
		{"v1/namespaces/default/secrets/s?", "ConfigMap"},
	}
	for _, caller := range callers {
		for _, name := range names {
			payload := bytes.Buffer{}
			require.NoError(t,
				json.NewEncoder(&payload).
					Encode(map[string]string{
						"api_version": name[0],
						"kind":        name[1],
						"name":        "s",
						"namespace":   "default",
					}))
			for _, path := range []string{
				"kubernetes/get_resource", "kubernetes/list_resources_all",
				"kubernetes/list_resources_by_namespace",
			} {
				for _, without := range []string{"both", "secrets-named"} {
					require.Equal(t, withoutKind(name[0], name[1]),
						s.ask(t, caller+"-"+without, path, payload.String()), "%q %s", name, path)
				}
			}
		}
		for payload, want := range map[string]string{
			`{"api_version": "v1", "kind": "ConfigMap", "name": "../secrets/s", "namespace": "default"}`:                                            "may not contain '/'",
			`{"api_version": "v1", "kind": "ConfigMap", "name": "s", "namespace": "default/secrets/s#"}`:                                            "may not contain '/'",
			`{"api_version": "v1", "kind": "ConfigMap", "name": "..", "namespace": "default"}`:                                                      "may not be '..'",
			`{"api_version": "v1", "kind": "ConfigMap", "name": "s%2f..%2f..%2fsecrets%2fs", "namespace": "default"}`:                               "may not contain '%'",
			`{"api_version": "v1", "kind": "ConfigMap", "KIND": "Secret", "Kind": "Secret", "name": "s", "namespace": "default"}`:                   "Cannot find v1/ConfigMap named 's'",
			`{"api_version": "v1", "kind": "ConfigMap", "resource": "secrets", "name": "s", "namespace": "default"}`:                                "Cannot find v1/ConfigMap named 's'",
			`{"api_version": "v1", "kind": "Secret", "kind": "ConfigMap", "name": "s", "namespace": "default"}`:                                     "Cannot find v1/ConfigMap named 's'",
			`{"api_version": "v1", "kind": "ConfigMap", "kind": "Secret", "name": "s", "namespace": "default"}`:                                     "has not been granted access to Kubernetes v1/Secret resources",
			`{"api_version": "v1", "kind": "ConfigMap", "name": "s", "namespace": "default", "field_masks": ["../secrets"]} {"kind": "Secret"}`:     "cannot read the payload",
			`{"api_version": "v1", "kind": "ConfigMap", "name": "s", "namespace": "default", "disable_cache": true, "subresource": "../secrets/s"}`: "Cannot find v1/ConfigMap named 's'",
		} {
			said := s.ask(t, caller+"-both", "kubernetes/get_resource", payload)
			require.Contains(t, said, "denied the request: failed: ")
			require.Contains(t, said, want, payload)
			require.NotContains(t, said, secretly)
		}
	}
}

// checkWhatIsKept checks that the server caches only the configured number of answers, by counting
// repeated lookups.
func checkWhatIsKept(t *testing.T, s *telling) {
	t.Helper()
	get := `{"api_version": "v1", "kind": "Namespace", "name": %q}`
	review :=
		`{"subject_access_review": {"user": %q, "resource_attributes": {"resource": "secrets", "verb": "get"}}}`
	for _, test := range []struct {
		operation, payload string
		names              []string
		asked              int
	}{
		{"get_resource", get, []string{"default", "default", "kube-system", "default"}, 3},
		{"can_i", review, []string{"a", "b", "a", "b", "c", "b", "a"}, 4},
	} {
		before := s.asked(t, test.operation)
		for _, name := range test.names {
			require.Contains(t,
				s.ask(t, "wapc-both", "kubernetes/"+test.operation,
					fmt.Sprintf(test.payload, name)), "answered: ")
		}
		require.Equal(t, test.asked, s.asked(t, test.operation)-before, test.operation)
	}
}

// asked returns how many lookups the server could not answer from its cache.
func (s *telling) asked(t *testing.T, operation string) int {
	t.Helper()
	metrics, err := s.Metrics(t.Context())
	require.NoError(t, err)
	line := regexp.MustCompile(`apiserver_wasm_admission_cluster_looks_total\{operation="` +
		operation + `",result="asked"\} (\d+)`)
	count, err := strconv.Atoi(line.FindStringSubmatch(metrics)[1])
	require.NoError(t, err)
	return count
}
