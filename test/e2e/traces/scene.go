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

package traces

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/client-go/kubernetes"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// configuration has two mutating policies, one of which reads the cluster, and two validating
// policies.
const configuration = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    capabilities: {kubernetes: {user: eyes}}
    policies:
    - name: label-owner
      module: file://%[1]s/label-from-namespace-rust.wasm
      mutating: true
      settings: {label: owner}
      contextAwareResources: [{apiVersion: v1, kind: Namespace}]
      hostCapabilities: [kubernetes/get_resource]
      rules: &rules [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
    - name: no-privileged-pods
      module: file://%[1]s/pod-privileged.wasm
      rules: *rules
    - name: no-latest-tag
      module: file://%[1]s/no-latest-tag.wasm
      mode: monitor
      rules: *rules
`

// namespace is the namespace of the scene's Pods.
const namespace = "traced"

// Scene is a server with policies that traces every request.
type Scene struct {
	*harness.Server
}

// Begin starts the server, which sends its spans to an address. root is the root of the repository.
// The caller must stop the server and remove the files in directory.
func Begin(ctx context.Context, root, directory, address string) (_ *Scene, err error) {
	for _, policy := range []string{
		"label-from-namespace-rust", "pod-privileged", "no-latest-tag",
	} {
		wasm, err := os.ReadFile(filepath.Join(root, "test", "policies", policy, "policy.wasm"))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(directory, policy+".wasm"), wasm, 0o600); err != nil {
			return nil, err
		}
	}
	tracing := filepath.Join(directory, "tracing.yaml")
	if err := os.WriteFile(tracing, fmt.Appendf(nil, `apiVersion: apiserver.config.k8s.io/v1
kind: TracingConfiguration
endpoint: %s
samplingRatePerMillion: 1000000
`, address), 0o600); err != nil {
		return nil, err
	}
	// The server inherits this process's environment. With this variable, it sends spans every 100
	// ms.
	if err := os.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100"); err != nil {
		return nil, err
	}
	server, err := harness.New(harness.Options{
		FeatureGate:     true,
		AdmissionConfig: fmt.Sprintf(configuration, directory),
		Args:            []string{"--tracing-config-file=" + tracing},
	})
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, server.Clientset()); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return &Scene{server}, nil
}

// prepare creates a namespace with an owner, which the policies may read.
func prepare(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.CoreV1().Namespaces().
		Create(ctx, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{
				Name:   namespace,
				Labels: map[string]string{"owner": "secret-team"},
			},
		}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
		RoleRef: rbacv1.RoleRef{
			APIGroup: rbacv1.GroupName,
			Kind:     "ClusterRole",
			Name:     "cluster-admin",
		},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eyes"}},
	}, metav1.CreateOptions{})
	return err
}

// CreatePod creates a Pod, and returns the audit ID of the request, which is in its trace, and the
// server's response.
func (s *Scene) CreatePod(ctx context.Context, name, image string,
	privileged bool) (auditID string, created *corev1.Pod, err error) {
	auditID = string(uuid.NewUUID())
	created = &corev1.Pod{}
	err = s.Clientset().CoreV1().RESTClient().Post().SetHeader(audit.HeaderAuditID, auditID).
		Namespace(namespace).Resource("pods").Body(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: image,
			SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
		}}},
	}).Do(ctx).Into(created)
	return auditID, created, err
}
