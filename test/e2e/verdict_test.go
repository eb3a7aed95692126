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

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Each sample policy accepts one request and denies another.
func TestSamplePolicies(t *testing.T) {
	client := enforcing.Clientset().CoreV1()
	for _, test := range []struct {
		policy  string
		allowed func(namespace string) error
		denied  func(namespace string) error
		message string
	}{
		{
			policy: "no-privileged-pods",
			allowed: func(namespace string) error {
				_, err := client.Pods(namespace).Create(t.Context(),
					pod("plain", "registry.example.com/a:1"), metav1.CreateOptions{})
				return err
			},
			denied: func(namespace string) error {
				_, err := client.Pods(namespace).Create(t.Context(), privilegedPod("privileged"),
					metav1.CreateOptions{})
				return err
			},
			message: "rivileged",
		},
		{
			policy: "team-label",
			allowed: func(namespace string) error {
				return createConfigMap(t.Context(), configMap(namespace, "good", "team", "blue"))
			},
			denied: func(namespace string) error {
				return createConfigMap(t.Context(), configMap(namespace, "bad", "team", "2"))
			},
			message: "team",
		},
		{
			policy: "our-registry",
			allowed: func(namespace string) error {
				_, err := client.Pods(namespace).Create(t.Context(),
					pod("ours", "registry.example.com/a:1"), metav1.CreateOptions{})
				return err
			},
			denied: func(namespace string) error {
				_, err := client.Pods(namespace).Create(t.Context(),
					pod("theirs", "registry.example.org/a:1"), metav1.CreateOptions{})
				return err
			},
			message: "registry.example.org/a:1",
		},
		{
			policy: "no-latest",
			allowed: func(namespace string) error {
				_, err := client.Pods(namespace).Create(t.Context(),
					pod("tagged", "registry.example.com/a:1"), metav1.CreateOptions{})
				return err
			},
			denied: func(namespace string) error {
				_, err := client.Pods(namespace).Create(t.Context(),
					pod("latest", "registry.example.com/a:latest"), metav1.CreateOptions{})
				return err
			},
			message: "latest",
		},
	} {
		t.Run(test.policy, func(t *testing.T) {
			namespace := namespaceFor(t, test.policy)
			require.NoError(t, test.allowed(namespace))
			err := test.denied(namespace)
			require.ErrorContains(t, err, `WasmAdmission policy "`+test.policy+
				`" denied the request: `)
			require.ErrorContains(t, err, test.message)
		})
	}
}

// kubectl shows the message of a denial.
func TestKubectlShowsADenial(t *testing.T) {
	namespace := namespaceFor(t, "own-message")
	output, err := enforcing.Kubectl(t.Context(), "--namespace="+namespace, "create", "configmap",
		"any")
	require.NoError(t, err)
	require.Equal(t, 1, output.ExitCode)
	require.Contains(t, output.Stderr,
		`WasmAdmission policy "own-message" denied the request: ask the platform team`)

	output, err = enforcing.Kubectl(t.Context(), "--namespace="+namespaceFor(t, "object-selector"),
		"create", "configmap", "any")
	require.NoError(t, err)
	require.Zero(t, output.ExitCode, output.Stderr)
}

func TestDryRunIsEvaluated(t *testing.T) {
	namespace := namespaceFor(t, "team-label")
	output, err := enforcing.Kubectl(t.Context(), "--namespace="+namespace, "create", "configmap",
		"any", "--dry-run=server")
	require.NoError(t, err)
	require.Equal(t, 1, output.ExitCode)
	require.Contains(t, output.Stderr, `WasmAdmission policy "team-label" denied the request`)
}

func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		policy  string
		code    int32
		message string
	}{
		{"own-message", 451,
			`WasmAdmission policy "own-message" denied the request: ask the platform team`},
		{"both", 451, deniedBy("both-1") + `; WasmAdmission policy "both-2" failed: `},
		{"trap-fail", 500, `WasmAdmission policy "trap-fail" failed: `},
		{"curious", 400,
			`WasmAdmission policy "curious" denied the request: Policy has not been granted access to the 'kubernetes/get_resource' host capability. The violation has been reported.`},
		{"strange-code", 400, `WasmAdmission policy "strange-code" denied the request`},
	} {
		t.Run(test.policy, func(t *testing.T) {
			err := createConfigMap(t.Context(), configMap(namespaceFor(t, test.policy), "any"))
			var status interface{ Status() metav1.Status }
			require.ErrorAs(t, err, &status)
			require.Equal(t, test.code, status.Status().Code)
			require.True(t, strings.HasPrefix(status.Status().Message, test.message),
				status.Status().Message)
		})
	}
}

func TestEveryRefusalIsACause(t *testing.T) {
	err := createConfigMap(t.Context(), configMap(namespaceFor(t, "both"), "any"))
	var status interface{ Status() metav1.Status }
	require.ErrorAs(t, err, &status)
	causes := status.Status().Details.Causes
	require.Len(t, causes, 2)
	require.Equal(t, metav1.StatusCause{Field: "policies[both-1]", Message: "denied by deny.wat"},
		causes[0])
	require.Equal(t, "policies[both-2]", causes[1].Field)

	// The policy's own message is kept when the configuration replaces it.
	err = createConfigMap(t.Context(), configMap(namespaceFor(t, "own-message"), "any"))
	require.ErrorAs(t, err, &status)
	require.Equal(t,
		[]metav1.StatusCause{{Field: "policies[own-message]", Message: "denied by deny.wat"}},
		status.Status().Details.Causes)
}

// warnings stores the warnings that a client gets.
type warnings struct{ texts []string }

func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.texts = append(w.texts, text) }

func clientWithWarnings(t *testing.T) (*kubernetes.Clientset, *warnings) {
	t.Helper()
	seen := &warnings{}
	config := enforcing.RESTConfig()
	config.WarningHandler = seen
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client, seen
}

func TestAFailureIsIgnoredLoudly(t *testing.T) {
	client, seen := clientWithWarnings(t)
	namespace := namespaceFor(t, "trap-ignore")
	_, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), configMap(namespace, "any"),
		metav1.CreateOptions{})
	require.NoError(t, err)
	require.Len(t, seen.texts, 1)
	require.Contains(t, seen.texts[0],
		`WasmAdmission policy "trap-ignore" failed and was ignored: `)
	require.Contains(t, seen.texts[0], "wasm trap: unreachable")

	metrics, err := enforcing.Metrics(t.Context())
	require.NoError(t, err)
	require.Contains(t, metrics,
		`apiserver_wasm_admission_evaluation_duration_seconds_count{operation="CREATE",outcome="failed_open",policy="trap-ignore",rejected="false",type="validate"}`)
	require.Contains(t, enforcing.Logs(), `"Policy failed"`)
}

func TestAPolicyLogsAndWarns(t *testing.T) {
	client, seen := clientWithWarnings(t)
	namespace := namespaceFor(t, "log")
	_, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), configMap(namespace, "any"),
		metav1.CreateOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, seen.texts)
	for _, source := range []string{
		`data="{`, `source="console"`, `source="stdout"`, `source="stderr"`,
	} {
		require.Contains(t, enforcing.Logs(), source)
	}
	require.Contains(t, enforcing.Logs(), `"Policy log" policy="log"`)
}

// A policy that never ends is stopped, whether it loops or only makes calls, and does not delay
// other requests.
func TestEndlessPoliciesEndAtTheirDeadlines(t *testing.T) {
	for _, policy := range []string{"spin", "explode"} {
		t.Run(policy, func(t *testing.T) {
			endless, quick := namespaceFor(t, policy), namespaceFor(t, "team-label")
			ended := make(chan error, 1)
			go func() { ended <- createConfigMap(t.Context(), configMap(endless, "any")) }()
			for others := 0; ; others++ {
				select {
				case err := <-ended:
					require.ErrorContains(t, err, `WasmAdmission policy "`+policy+
						`" failed: Policy execution interrupted because it exceeded the allowed execution time`)
					require.Positive(t, others, "no other request was served in the meantime")
					return
				default:
					require.NoError(t, createConfigMap(t.Context(), &corev1.ConfigMap{
						ObjectMeta: metav1.ObjectMeta{
							Namespace:    quick,
							GenerateName: "other-",
							Labels:       map[string]string{"team": "blue"},
						},
					}))
				}
			}
		})
	}
}

func TestExemptions(t *testing.T) {
	_, err := enforcing.Clientset().CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{
				Name:   "exempt-namespace",
				Labels: map[string]string{"try": "own-message"},
			},
		}, metav1.CreateOptions{})
	require.NoError(t, err)
	guarded := namespaceFor(t, "own-message")
	for _, test := range []struct {
		name      string
		namespace string
		as        rest.ImpersonationConfig
		exempt    bool
	}{
		{name: "nobody", namespace: guarded},
		{name: "namespace", namespace: "exempt-namespace", exempt: true},
		{
			name: "user", namespace: guarded,
			as: rest.ImpersonationConfig{
				UserName: "exempt-user",
				Groups:   []string{"system:masters"},
			}, exempt: true,
		},
		{
			name: "other-user", namespace: guarded,
			as: rest.ImpersonationConfig{
				UserName: "other-user",
				Groups:   []string{"system:masters"},
			},
		},
		{
			name: "group", namespace: guarded,
			as: rest.ImpersonationConfig{
				UserName: "anyone",
				Groups:   []string{"exempt-group", "system:masters"},
			}, exempt: true,
		},
		{
			name: "whoever-plays-the-apiserver", namespace: guarded,
			as: rest.ImpersonationConfig{
				UserName: "system:apiserver",
				Groups:   []string{"system:masters"},
			},
		},
		{
			name: "whoever-plays-it-with-a-uid", namespace: guarded, as: rest.ImpersonationConfig{
				UserName: "system:apiserver",
				UID:      "4711",
				Groups:   []string{"system:masters"},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := enforcing.RESTConfig()
			config.Impersonate = test.as
			client, err := kubernetes.NewForConfig(config)
			require.NoError(t, err)
			_, err = client.CoreV1().ConfigMaps(test.namespace).
				Create(t.Context(), configMap(test.namespace, test.name), metav1.CreateOptions{})
			if test.exempt {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err,
					`WasmAdmission policy "own-message" denied the request`)
			}
		})
	}
	metrics, err := enforcing.Metrics(t.Context())
	require.NoError(t, err)
	for _, reason := range []string{"user", "group", "namespace"} {
		require.Contains(t, metrics, `apiserver_wasm_admission_exempt_requests_total{reason="`+
			reason+`",type="validate"}`)
	}
}

// For policies, a merge patch is an UPDATE.
func TestPatchesAreEvaluated(t *testing.T) {
	namespace := namespaceFor(t, "team-label")
	require.NoError(t, createConfigMap(t.Context(), configMap(namespace, "any", "team", "blue")))
	_, err := enforcing.Clientset().CoreV1().ConfigMaps(namespace).
		Patch(t.Context(), "any", types.MergePatchType,
			[]byte(`{"metadata":{"labels":{"team":null}}}`), metav1.PatchOptions{})
	require.ErrorContains(t, err, `WasmAdmission policy "team-label" denied the request`)
	_, err = enforcing.Clientset().CoreV1().ConfigMaps(namespace).
		Patch(t.Context(), "any", types.MergePatchType,
			[]byte(`{"metadata":{"labels":{"team":"red"}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
}
