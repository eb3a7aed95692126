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

package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// eventually waits until a condition holds.
func eventually(t *testing.T, condition func() bool, message ...any) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 20*time.Millisecond, message...)
}

// Verdicts of policies. A label of the ConfigMap selects the policy.
func TestVerdicts(t *testing.T) {
	w := start(t, `
exemptions: {usernames: [nobody], groups: [no-group], namespaces: [kube-public]}
policyGroups:
- name: group
  expression: "a() && b()"
  message: the group says no
  policies: {a: {module: MODULES/accept.wasm}, b: {module: MODULES/deny.wasm}}
  NAMESPACES
  objectSelector: {matchLabels: {try: group}}
  `+configMaps+`
policies:
- {name: deny, module: MODULES/deny.wasm, NAMESPACES, objectSelector: {matchLabels: {try: deny}}, `+configMaps+`}
- {name: monitored, module: MODULES/deny.wasm, mode: monitor, NAMESPACES, objectSelector: {matchLabels: {try: monitored}}, `+configMaps+`}
- {name: trap-fail, module: MODULES/trap.wasm, NAMESPACES, objectSelector: {matchLabels: {try: trap-fail}}, `+configMaps+`}
- {name: trap-ignore, module: MODULES/trap.wasm, failurePolicy: Ignore, NAMESPACES, objectSelector: {matchLabels: {try: trap-ignore}}, `+configMaps+`}
- {name: everything, module: MODULES/deny.wasm, NAMESPACES, objectSelector: {matchLabels: {try: everything}}, rules: [{apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"], operations: ["*"]}]}
- name: condition
  module: MODULES/deny.wasm
  NAMESPACES
  objectSelector: {matchLabels: {try: condition}}
  matchConditions: [{name: c, expression: "'guarded' in namespaceObject.metadata.labels"}]
  `+configMaps+`
- name: defaults
  module: MODULES/add-defaults.wasm
  mutating: true
  settings: {labels: {team: none}, annotations: {example.com/seen: "yes"}}
  NAMESPACES
  objectSelector: {matchLabels: {try: mutate}}
  `+configMaps+`
- name: defaults-monitored
  module: MODULES/add-defaults.wasm
  mutating: true
  mode: monitor
  settings: {labels: {team: none}}
  NAMESPACES
  objectSelector: {matchLabels: {try: mutate-monitored}}
  `+configMaps+`
- name: first
  module: MODULES/add-defaults.wasm
  mutating: true
  settings: {labels: {team: first, first: "yes"}}
  NAMESPACES
  objectSelector: {matchLabels: {try: order}}
  `+configMaps+`
- name: second
  module: MODULES/add-defaults.wasm
  mutating: true
  settings: {labels: {team: second, second: "yes"}}
  NAMESPACES
  objectSelector: {matchLabels: {try: order}}
  `+configMaps+`
`)
	ns := namespace(t, "guarded", "yes")
	for try, want := range map[string]struct {
		code    int32
		message string
	}{
		"deny": {451,
			`admission webhook "deny.policy.wasm.admission.k8s.io" denied the request: WasmAdmission policy "deny" denied the request: denied by deny.wat`},
		"group":      {400, "the group says no"},
		"trap-fail":  {500, `WasmAdmission policy "trap-fail" failed: `},
		"everything": {451, "denied by deny.wat"},
		"condition":  {451, "denied by deny.wat"},
	} {
		_, err := create(t, ns, "try", try)
		requireDenied(t, err, want.code, want.message)
	}
	for _, try := range []string{"monitored", "trap-ignore", "nothing"} {
		_, err := create(t, ns, "try", try)
		require.NoError(t, err, try)
	}
	_, err := create(t, namespace(t), "try", "condition")
	require.NoError(t, err, "the condition must not be met")

	object, err := create(t, ns, "try", "mutate")
	require.NoError(t, err)
	require.Equal(t, "none", object.Labels["team"])
	require.Equal(t, "yes", object.Annotations["example.com/seen"])
	object, err = create(t, ns, "try", "mutate-monitored")
	require.NoError(t, err)
	require.NotContains(t, object.Labels, "team")
	object, err = create(t, ns, "try", "order")
	require.NoError(t, err)
	require.Equal(t, "first", object.Labels["team"],
		"each policy must see the previous policy's changes")
	require.Equal(t, "yes", object.Labels["second"])

	_, metrics, err := w.Get(t.Context(), "/metrics")
	require.NoError(t, err)
	require.Contains(t, metrics,
		`apiserver_wasm_admission_evaluation_duration_seconds_count{operation="CREATE",outcome="denied",policy="deny",rejected="true",type="validate"} 1`)
	requireAudited(t)
}

// The audit event contains the policy's annotations, with the keys that webhooks use.
func requireAudited(t *testing.T) {
	t.Helper()
	find := func(key, part string) bool {
		events, err := server.AuditEvents()
		require.NoError(t, err)
		for _, event := range events {
			if event.Stage == auditv1.StageResponseComplete &&
				strings.Contains(event.Annotations[key], part) {
				return true
			}
		}
		return false
	}
	for key, part := range map[string]string{
		"monitored.policy.wasm.admission.k8s.io/wasm-admission.validate":               `"verdict":"denied"`,
		"trap-ignore.policy.wasm.admission.k8s.io/wasm-admission.failed-open.validate": "trap-ignore",
		"defaults.policy.wasm.admission.k8s.io/wasm-admission.mutate.round_0":          `"mutated":true`,
	} {
		eventually(t, func() bool { return find(key, part) }, key)
	}
}

// A policy sees only what both the server and the configured user may see.
func TestPoliciesLookAtTheCluster(t *testing.T) {
	start(t, `
circuitBreaker: {failures: 0}
policies:
- name: label
  module: MODULES/label-from-namespace-go.wasm
  mutating: true
  settings: {label: color}
  contextAwareResources: [{apiVersion: v1, kind: Namespace}]
  hostCapabilities: ["kubernetes/*"]
  NAMESPACES
  objectSelector: {matchLabels: {try: look}}
  `+configMaps+`
`)
	ns := namespace(t, "color", "blue")
	_, err := create(t, ns, "try", "look")
	require.ErrorContains(t, err, `cannot get resource "namespaces"`)
	api := server.Clientset().RbacV1()
	_, err = api.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"namespaces"},
			Verbs: []string{"get", "list", "watch"},
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = api.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "eyes"},
		Subjects: []rbacv1.Subject{{
			Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "system:wasm-admission",
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, func() bool {
		object, err := create(t, ns, "try", "look")
		return err == nil && object.Labels["color"] == "blue"
	})
}

// Without a server, failurePolicy decides about requests that a policy matches. All other requests
// pass.
func TestWithoutAServer(t *testing.T) {
	ns, exempt, own := namespace(t), namespace(t), namespace(t)
	w := start(t, `
exemptions: {namespaces: [`+exempt+`]}
policies:
- {name: fail, module: MODULES/accept.wasm, NAMESPACES, objectSelector: {matchLabels: {try: fail}}, `+configMaps+`}
- {name: ignore, module: MODULES/deny.wasm, failurePolicy: Ignore, NAMESPACES, objectSelector: {matchLabels: {try: ignore}}, `+configMaps+`}
- {name: monitored, module: MODULES/deny.wasm, mode: monitor, NAMESPACES, objectSelector: {matchLabels: {try: monitored}}, `+configMaps+`}
`, "--exclude-namespaces="+own)
	_, err := create(t, ns, "try", "fail")
	require.NoError(t, err)
	_, err = create(t, ns, "try", "ignore")
	require.ErrorContains(t, err, "denied by deny.wat")
	w.Kill9()
	_, err = create(t, ns, "try", "fail")
	require.ErrorContains(t, err, `failed calling webhook "fail.policy.wasm.admission.k8s.io"`)
	for _, try := range []string{"ignore", "monitored"} {
		_, err = create(t, ns, "try", try)
		require.NoError(t, err)
	}
	for _, free := range []string{exempt, own} {
		_, err = create(t, free, "try", "fail")
		require.NoError(t, err)
	}
}

func TestBreakGlass(t *testing.T) {
	file := filepath.Join(t.TempDir(), "break-glass.yaml")
	start(t, `
breakGlassFile: `+file+`
policies:
- {name: deny, module: MODULES/deny.wasm, NAMESPACES, objectSelector: {matchLabels: {try: deny}}, `+configMaps+`}
`)
	ns := namespace(t)
	_, err := create(t, ns, "try", "deny")
	require.ErrorContains(t, err, "denied by deny.wat")
	require.NoError(t,
		os.WriteFile(file,
			[]byte(
				"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: BreakGlass\npolicies: [deny]\nreason: this test\nuntil: "+
					time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+"\n"), 0o600))
	eventually(t, func() bool {
		_, err := create(t, ns, "try", "deny")
		return err == nil
	})
	require.NoError(t, os.Remove(file))
	eventually(t, func() bool {
		_, err := create(t, ns, "try", "deny")
		return err != nil
	})
}

// policyDirectory returns a directory of manifests in the form of a projected volume, and a
// function that replaces the manifests.
func policyDirectory(t *testing.T) (directory string, exchange func(manifests string)) {
	t.Helper()
	volume := t.TempDir()
	require.NoError(t, os.Chmod(volume, 0o777|os.ModeSticky))
	n := 0
	return filepath.Join(volume, "..data"), func(manifests string) {
		n++
		data := filepath.Join(volume, fmt.Sprintf("..%d", n))
		require.NoError(t, os.Mkdir(data, 0o755))
		require.NoError(t,
			os.WriteFile(filepath.Join(data, "policies.yaml"),
				[]byte(strings.ReplaceAll(manifests, "MODULES", "file://"+modules)), 0o600))
		require.NoError(t, os.Symlink(filepath.Base(data), filepath.Join(volume, "..data.new")))
		require.NoError(t,
			os.Rename(filepath.Join(volume, "..data.new"), filepath.Join(volume, "..data")))
	}
}

func manifest(t *testing.T, name, module string) string {
	t.Helper()
	return `
---
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: ` + name + `}
spec:
  module: MODULES/` + module + `.wasm
  mutating: false
  namespaceSelector: {matchLabels: {test: ` + t.Name() + `}}
  objectSelector: {matchLabels: {try: ` + name + `}}
  ` + configMaps + "\n"
}

// When the directory changes, the policies and the webhook configurations change together. A bad
// change leaves both unchanged.
func TestReload(t *testing.T) {
	directory, exchange := policyDirectory(t)
	exchange(manifest(t, "a", "deny"))
	w := start(t, `
policyDirectory: `+directory+`
policies:
`)
	ns := namespace(t)
	names := func() (names []string) {
		c, err := server.Clientset().AdmissionregistrationV1().ValidatingWebhookConfigurations().
			Get(t.Context(), "wasm-admission", metav1.GetOptions{})
		require.NoError(t, err)
		for n := range c.Webhooks {
			names = append(names,
				strings.TrimSuffix(c.Webhooks[n].Name, ".policy.wasm.admission.k8s.io"))
		}
		return names
	}
	require.Equal(t, []string{"clusterwide-a", "probe"}, names())
	_, err := create(t, ns, "try", "a")
	requireDenied(t, err, 451, `policy "clusterwide-a" denied the request`)

	exchange(manifest(t, "a", "accept") + manifest(t, "b", "deny"))
	eventually(t, func() bool {
		_, a := create(t, ns, "try", "a")
		_, b := create(t, ns, "try", "b")
		return a == nil && b != nil
	})
	require.Equal(t, []string{"clusterwide-a", "clusterwide-b", "probe"}, names())

	exchange(manifest(t, "b", "no-such-module"))
	eventually(t, func() bool {
		status, body, err := w.Get(t.Context(), "/readyz/wasm-admission-policies")
		require.NoError(t, err)
		return status != http.StatusOK && strings.Contains(body, "no-such-module")
	})
	status, _, err := w.Get(t.Context(), "/readyz")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	_, err = create(t, ns, "try", "b")
	require.Error(t, err)

	// A removed policy is not called, and no request fails while the apiserver learns about the
	// removal.
	exchange(manifest(t, "a", "accept"))
	eventually(t, func() bool {
		_, err := create(t, ns, "try", "a")
		require.NoError(t, err)
		_, err = create(t, ns, "try", "b")
		if err != nil {
			require.ErrorContains(t, err, "denied by deny.wat")
		}
		return err == nil
	})
	require.Equal(t, []string{"clusterwide-a", "probe"}, names())
}

// The server restores its webhook configurations if somebody else changes them.
func TestConfigurationsAreRestored(t *testing.T) {
	start(t, "policies:")
	api := server.Clientset().AdmissionregistrationV1().ValidatingWebhookConfigurations()
	c, err := api.Get(t.Context(), "wasm-admission", metav1.GetOptions{})
	require.NoError(t, err)
	c.Webhooks[0].FailurePolicy = new(admissionregistrationv1.Ignore)
	_, err = api.Update(t.Context(), c, metav1.UpdateOptions{})
	require.NoError(t, err)
	eventually(t, func() bool {
		c, err := api.Get(t.Context(), "wasm-admission", metav1.GetOptions{})
		require.NoError(t, err)
		return *c.Webhooks[0].FailurePolicy == admissionregistrationv1.Fail
	})
}

func TestCertificatesAreReloaded(t *testing.T) {
	w := start(t, "policies:")
	ns := namespace(t)
	served := func() string {
		connection, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", w.Address) //nolint:gosec // only reads the certificate
		require.NoError(t, err)
		defer func() { require.NoError(t, connection.Close()) }()
		return string(connection.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw) //nolint:forcetypeassert // always a TLS connection
	}
	before := served()
	require.NoError(t, w.NewCertificate())
	eventually(t, func() bool { return served() != before })
	bundle, err := w.Certificate()
	require.NoError(t, err)
	block, _ := pem.Decode(bundle)
	certificate, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	require.Equal(t, string(certificate.Raw), served())
	eventually(t, func() bool {
		c, err := server.Clientset().AdmissionregistrationV1().ValidatingWebhookConfigurations().
			Get(t.Context(), "wasm-admission", metav1.GetOptions{})
		require.NoError(t, err)
		return string(c.Webhooks[0].ClientConfig.CABundle) == string(bundle)
	})
	eventually(t, func() bool {
		_, err := create(t, ns, "probe", "probe")
		return err != nil && strings.Contains(err.Error(), "denied by deny.wat")
	})
}

// The server answers requests in flight when it is told to stop.
func TestDrain(t *testing.T) {
	ns := namespace(t)
	w := start(t, `
policies:
- {name: spin, module: MODULES/spin.wasm, timeoutEvalSeconds: 2, NAMESPACES, objectSelector: {matchLabels: {try: spin}}, `+configMaps+`}
`)
	var client sync.WaitGroup
	var err error
	client.Go(func() { _, err = create(t, ns, "try", "spin") })
	eventually(t, func() bool {
		_, metrics, err := w.Get(t.Context(), "/metrics")
		require.NoError(t, err)
		return strings.Contains(metrics, `apiserver_wasm_admission_instances{state="in_use"} 1`)
	})
	require.NoError(t, syscall.Kill(w.PID(), syscall.SIGTERM))
	client.Wait()
	requireDenied(t, err, 500, `WasmAdmission policy "spin" failed: `)
	require.NotContains(t, err.Error(), "failed calling webhook")
	require.NoError(t, w.Stop())
	require.Contains(t, w.Logs(), "Draining")
}

func TestClientCertificatesAreRequired(t *testing.T) {
	authority := filepath.Join(t.TempDir(), "ca.crt")
	t.Cleanup(func() { removeConfigurations(t) })
	bundle, err := os.ReadFile(filepath.Join(server.Dir(), "pki", "ca.crt"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(authority, bundle, 0o600))
	w := server.StartWebhook(t, configuration(t, `
policies:
- {name: a, module: MODULES/accept.wasm, NAMESPACES, `+configMaps+`}
`), "--client-ca-file="+authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the connection is refused
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://"+w.Address+"/validate/a", strings.NewReader("{}"))
	require.NoError(t, err)
	response, err := client.Do(request)
	if err == nil {
		_ = response.Body.Close()
	}
	require.ErrorContains(t, err, "certificate required")
}

func TestConfigurationsCanBePrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(configuration(t, `
policies:
- {name: v, module: MODULES/deny.wasm, `+configMaps+`}
- {name: m, module: MODULES/add-defaults.wasm, mutating: true, settings: {labels: {team: none}}, `+configMaps+`}
`)), 0o600))
	output, err := harness.ExecuteWebhook(t.Context(), "--config="+file,
		"--service=system/webhook:8443", "--print-webhook-configurations")
	require.NoError(t, err)
	require.Zero(t, output.ExitCode, output.Stderr)
	for _, part := range []string{
		"kind: MutatingWebhookConfiguration", "kind: ValidatingWebhookConfiguration",
		"path: /mutate/m", "path: /validate/v", "port: 8443",
	} {
		require.Contains(t, output.Stdout, part)
	}
	output, err = harness.ExecuteWebhook(t.Context(), "--config="+file, "--url=http://plain",
		"--max-requests=0", "--print-webhook-configurations")
	require.NoError(t, err)
	require.Equal(t, 1, output.ExitCode)
	require.Contains(t, output.Stderr,
		`wasm-admission-webhook: --url: "http://plain": must be https://host`)
	require.Contains(t, output.Stderr,
		`wasm-admission-webhook: --max-requests: 0: must be positive`)
}
