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
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

const apiserverUser = "system:apiserver"

// auditApiserver is an audit policy that records the apiserver's own writes.
const auditApiserver = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, verbs: [get, list, watch]}
- {level: Metadata, users: ["system:apiserver"]}
- {level: None}`

// refusing is a configuration that denies every request except those of the user exempt-user.
const refusing = `exemptions: {usernames: [exempt-user]}
policies:
- name: nothing
  module: MODULES/deny.wasm
  rules: [{apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"], operations: ["*"]}]`

func impersonating(server *harness.Server, as rest.ImpersonationConfig) *rest.Config {
	config := server.RESTConfig()
	config.Impersonate = as
	return config
}

var exemptUser = rest.ImpersonationConfig{
	UserName: "exempt-user",
	Groups:   []string{"system:masters"},
}

// apiserverWrites returns the audit events of the apiserver's own writes so far.
func apiserverWrites(t *testing.T, server *harness.Server) (own []auditv1.Event) {
	t.Helper()
	events, err := server.AuditEvents()
	require.NoError(t, err)
	for _, event := range events {
		if event.User.Username == apiserverUser && event.ImpersonatedUser == nil &&
			event.ObjectRef != nil {
			own = append(own, event)
		}
	}
	return own
}

func described(event *auditv1.Event) string {
	target := event.ObjectRef.Resource
	if event.ObjectRef.APIGroup != "" {
		target += "." + event.ObjectRef.APIGroup
	}
	if event.ObjectRef.Subresource != "" {
		target += "/" + event.ObjectRef.Subresource
	}
	return event.Verb + " " + target
}

// pkg/loopback knows every write that this version of the apiserver makes on its own: under a
// policy that denies everything, each of these writes passes, and passes because it is known. The
// test fails if it sees an unknown write.
func TestApiserverWritesAreKnown(t *testing.T) {
	server := harness.Start(t, harness.Options{
		FeatureGate:     true,
		AuditPolicy:     auditApiserver,
		AdmissionConfig: admissionConfiguration(modules(t), refusing),
	})
	makeTheApiserverWrite(t, server)

	expected := []string{
		"create namespaces", "create services", "create servicecidrs.networking.k8s.io",
		"create ipaddresses.networking.k8s.io",
		"create leases.coordination.k8s.io", "create clusterroles.rbac.authorization.k8s.io",
		"create clusterrolebindings.rbac.authorization.k8s.io",
		"create roles.rbac.authorization.k8s.io", "create rolebindings.rbac.authorization.k8s.io",
		"create priorityclasses.scheduling.k8s.io",
		"create flowschemas.flowcontrol.apiserver.k8s.io",
		"create prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
		"create configmaps", "create apiservices.apiregistration.k8s.io",
		"update apiservices.apiregistration.k8s.io/status",
		"update customresourcedefinitions.apiextensions.k8s.io/status",
		"update resourcequotas/status",
	}
	seen := map[string]bool{}
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true,
		func(context.Context) (bool, error) {
			for _, event := range apiserverWrites(t, server) {
				seen[described(&event)] = true
			}
			return !slices.ContainsFunc(expected, func(write string) bool { return !seen[write] }),
				nil
		})
	t.Log(slices.Sorted(maps.Keys(seen)))
	require.NoError(t, err, "some expected writes of the apiserver were not seen")
	for _, event := range apiserverWrites(t, server) {
		code := event.ResponseStatus.Code
		if code == http.StatusNotFound || code == http.StatusConflict {
			continue // The request may have failed before admission.
		}
		require.Equal(t, "apiserver", event.Annotations["wasm.admission.k8s.io/exempt"],
			"%s %s/%s: %d %s", described(&event), event.ObjectRef.Namespace, event.ObjectRef.Name,
			code, event.ResponseStatus.Message)
	}
}

// makeTheApiserverWrite creates objects that make the apiserver write: a custom resource
// definition, an APIService, a service, and a used quota.
func makeTheApiserverWrite(t *testing.T, server *harness.Server) {
	t.Helper()
	config := impersonating(server, exemptUser)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	objects, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	for resource, object := range map[schema.GroupVersionResource]string{
		{
			Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
		}: `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"things.example.com"},"spec":{
			"group":"example.com","scope":"Namespaced","names":{"plural":"things","kind":"Thing"},
			"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}`,
		{
			Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices",
		}: `{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.remote.example.com"},"spec":{
			"group":"remote.example.com","version":"v1","groupPriorityMinimum":1,"versionPriority":1,"insecureSkipTLSVerify":true,"service":{"namespace":"default","name":"none"}}}`,
	} {
		var content unstructured.Unstructured
		require.NoError(t, json.Unmarshal([]byte(object), &content.Object))
		_, err := objects.Resource(resource).Create(t.Context(), &content, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	_, err = client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "busy"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.CoreV1().Services("busy").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "any"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	hard := corev1.ResourceList{"count/configmaps": resource.MustParse("5")}
	quota, err := client.CoreV1().ResourceQuotas("busy").Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "any"}, Spec: corev1.ResourceQuotaSpec{Hard: hard},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	// No controller runs that would count the usage.
	quota.Status = corev1.ResourceQuotaStatus{
		Hard: hard,
		Used: corev1.ResourceList{"count/configmaps": resource.MustParse("0")},
	}
	_, err = client.CoreV1().ResourceQuotas("busy").UpdateStatus(t.Context(), quota,
		metav1.UpdateOptions{})
	require.NoError(t, err)
	_, err = client.CoreV1().ConfigMaps("busy").Create(t.Context(), configMap("busy", "any"),
		metav1.CreateOptions{})
	require.NoError(t, err)
}

// A client that impersonates the apiserver, with everything in its userInfo, is evaluated like any
// other client, even where the apiserver itself is not.
func TestNobodyCanPoseAsTheApiserver(t *testing.T) {
	server := harness.Start(t, harness.Options{
		FeatureGate:     true,
		AuditPolicy:     auditApiserver,
		AdmissionConfig: admissionConfiguration(modules(t), refusing),
	})
	own := apiserverWrites(t, server)
	require.NotEmpty(t, own)
	who := own[0].User
	require.NotEmpty(t, who.UID)
	extra := map[string][]string{"any": {"thing"}}
	for key, values := range who.Extra {
		extra[key] = slices.Clone(values)
	}
	for name, as := range map[string]rest.ImpersonationConfig{
		"name":          {UserName: who.Username, Groups: []string{"system:masters"}},
		"UID":           {UserName: who.Username, UID: who.UID, Groups: []string{"system:masters"}},
		"groups":        {UserName: who.Username, UID: who.UID, Groups: who.Groups},
		"extra as well": {UserName: who.Username, UID: who.UID, Groups: who.Groups, Extra: extra},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := kubernetes.NewForConfig(impersonating(server, as))
			require.NoError(t, err)
			_, err = client.CoreV1().ConfigMaps("default").
				Create(t.Context(), configMap("default", "any"), metav1.CreateOptions{})
			require.ErrorContains(t, err, `WasmAdmission policy "nothing" denied the request`)
			// The apiserver itself may write this object.
			name := "kube-apiserver-legacy-service-account-token-tracking"
			_, err = client.CoreV1().ConfigMaps("kube-system").
				Create(t.Context(), configMap("kube-system", name), metav1.CreateOptions{})
			require.ErrorContains(t, err, `WasmAdmission policy "nothing" denied the request`)
		})
	}
}

// Requests that a user makes the apiserver send with its own credential are evaluated.
func TestRequestsSentForUsersAreEvaluated(t *testing.T) {
	server := harness.Start(t, harness.Options{
		FeatureGate: true, AuditPolicy: auditApiserver,
		Args: []string{"--enable-admission-plugins=NamespaceAutoProvision"},
		AdmissionConfig: admissionConfiguration(modules(t), `policies:
- name: guard
  module: MODULES/deny.wasm
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [namespaces], operations: [CREATE]}
  - {apiGroups: [""], apiVersions: [v1], resources: [services/proxy], operations: [CONNECT]}`)})
	client := server.Clientset()

	t.Run("a namespace", func(t *testing.T) {
		err := createIn(t.Context(), client, "made-up")
		require.ErrorContains(t, err, `WasmAdmission policy "guard" denied the request`)
	})
	t.Run("a connection", func(t *testing.T) {
		path, effects, fail := "/api/v1/namespaces/default/services/kubernetes/proxy/",
			admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.Fail
		_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().
			Create(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
				ObjectMeta: metav1.ObjectMeta{Name: "back"},
				Webhooks: []admissionregistrationv1.ValidatingWebhook{{
					Name: "back.example.com", SideEffects: &effects, FailurePolicy: &fail,
					AdmissionReviewVersions: []string{"v1"},
					ClientConfig: admissionregistrationv1.WebhookClientConfig{
						Service: &admissionregistrationv1.ServiceReference{
							Namespace: "default",
							Name:      "kubernetes",
							Path:      &path,
						},
					},
					Rules: []admissionregistrationv1.RuleWithOperations{{
						Operations: []admissionregistrationv1.OperationType{"CREATE"},
						Rule: admissionregistrationv1.Rule{
							APIGroups:   []string{""},
							APIVersions: []string{"v1"},
							Resources:   []string{"configmaps"},
						},
					}},
				}},
			}, metav1.CreateOptions{})
		require.NoError(t, err)
		err = wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true,
			func(ctx context.Context) (bool, error) {
				// This passes until the server knows the webhook.
				_ = createIn(ctx, client, "default")
				return slices.ContainsFunc(apiserverWrites(t, server),
					func(event auditv1.Event) bool {
						return event.ObjectRef.Resource == "services" &&
							event.ObjectRef.Subresource == "proxy"
					}), nil
			})
		require.NoError(t, err, "the apiserver did not connect with its own credential")
		for _, event := range apiserverWrites(t, server) {
			if event.ObjectRef.Subresource == "proxy" {
				require.Contains(t, event.ResponseStatus.Message,
					`WasmAdmission policy "guard" denied the request`)
				require.Empty(t, event.Annotations["wasm.admission.k8s.io/exempt"])
			}
		}
	})
}

func createIn(ctx context.Context, client kubernetes.Interface, namespace string) error {
	_, err := client.CoreV1().ConfigMaps(namespace).
		Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "any-"}},
			metav1.CreateOptions{})
	return err
}
