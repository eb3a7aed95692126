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
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// enforcing is a server with all policies below, which the tests of policies share. Most policies
// only match namespaces that are labeled with the policy's name; see namespaceFor.
var enforcing *harness.Server

// enforced is the server's plugin configuration. MODULES is replaced by the URI of the directory
// with the modules.
const enforced = `
limits: {requestTimeout: 3s}
exemptions:
  usernames: [exempt-user]
  groups: [exempt-group]
  namespaces: [exempt-namespace]
policies:
- name: no-privileged-pods
  module: MODULES/pod-privileged.wasm
- name: team-label
  module: MODULES/required-labels.wasm
  settings: {labels: {team: "^[a-z]+$"}}
  namespaceSelector: {matchLabels: {try: team-label}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}]
- name: our-registry
  module: MODULES/allowed-registries.wasm
  settings: {registries: [registry.example.com]}
  namespaceSelector: {matchLabels: {try: our-registry}}
- name: no-latest
  module: MODULES/no-latest-tag.wasm
  namespaceSelector: {matchLabels: {try: no-latest}}
- name: protect
  module: MODULES/deny-deletion.wasm
  settings: {operations: [DELETE], protectedLabel: example.com/protected}
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [DELETE]}
  - {apiGroups: [admissionregistration.k8s.io], apiVersions: ["*"], resources: [validatingadmissionpolicies], operations: [DELETE]}
- name: no-exec
  module: MODULES/deny-deletion.wasm
  settings: {operations: [CONNECT]}
  namespaceSelector: {matchLabels: {try: no-exec}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods/exec], operations: [CONNECT]}]
- name: no-scale
  module: MODULES/deny.wasm
  namespaceSelector: {matchLabels: {try: no-scale}}
  rules: [{apiGroups: [apps], apiVersions: [v1], resources: [deployments/scale], operations: [UPDATE]}]
- name: no-status
  module: MODULES/deny.wasm
  namespaceSelector: {matchLabels: {try: no-status}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods/status], operations: [UPDATE]}]
- name: no-widgets
  module: MODULES/deny.wasm
  namespaceSelector: {matchLabels: {try: no-widgets}}
  rules: [{apiGroups: [e2e.example.com], apiVersions: [v1], resources: [widgets], operations: ["*"]}]
  matchConditions: [{name: converted, expression: "object.apiVersion == 'e2e.example.com/v1'"}]
- name: no-autoscaling
  module: MODULES/deny.wasm
  namespaceSelector: {matchLabels: {try: no-autoscaling}}
  rules: [{apiGroups: [autoscaling], apiVersions: [v1], resources: [horizontalpodautoscalers], operations: [CREATE]}]
  matchConditions: [{name: converted, expression: "has(object.spec.targetCPUUtilizationPercentage)"}]
- name: no-autoscaling-exact
  module: MODULES/deny.wasm
  matchPolicy: Exact
  namespaceSelector: {matchLabels: {try: no-autoscaling-exact}}
  rules: [{apiGroups: [autoscaling], apiVersions: [v1], resources: [horizontalpodautoscalers], operations: [CREATE]}]
- name: no-events
  module: MODULES/deny.wasm
  namespaceSelector: {matchLabels: {try: no-events}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [events], operations: [CREATE]}]
- name: object-selector
  module: MODULES/deny.wasm
  namespaceSelector: {matchLabels: {try: object-selector}}
  objectSelector: {matchExpressions: [{key: deny, operator: Exists}]}
- name: match-conditions
  module: MODULES/deny.wasm
  namespaceSelector: {matchLabels: {try: match-conditions}}
  rules: [{apiGroups: ["*"], apiVersions: ["*"], resources: ["*"], operations: [CREATE], scope: Namespaced}]
  matchConditions:
  - {name: marked, expression: "has(object.data) && 'deny' in object.data"}
  - {name: not-me, expression: "request.userInfo.username != 'trusted-user'"}
- name: namespace-condition
  module: MODULES/deny.wasm
  namespaceSelector: {matchLabels: {try: namespace-condition}}
  matchConditions:
  - {name: guarded, expression: "namespaceObject.metadata.name == request.namespace && namespaceObject.metadata.labels['try'] == 'namespace-condition' && has(object.data)"}
- name: failing-condition
  module: MODULES/deny.wasm
  failurePolicy: Ignore
  namespaceSelector: {matchLabels: {try: failing-condition}}
  matchConditions: [{name: fails, expression: "object.data.missing == 'x'"}]
- name: trap-fail
  module: MODULES/trap.wasm
  namespaceSelector: {matchLabels: {try: trap-fail}}
- name: trap-ignore
  module: MODULES/trap.wasm
  failurePolicy: Ignore
  namespaceSelector: {matchLabels: {try: trap-ignore}}
- name: spin
  module: MODULES/spin.wasm
  timeoutEvalSeconds: 1
  namespaceSelector: {matchLabels: {try: spin}}
- name: explode
  module: MODULES/explode.wasm
  timeoutEvalSeconds: 1
  namespaceSelector: {matchLabels: {try: explode}}
- name: strange-code
  module: MODULES/code-out-of-range.wasm
  namespaceSelector: {matchLabels: {try: strange-code}}
- name: own-message
  module: MODULES/deny.wasm
  message: ask the platform team
  namespaceSelector: {matchLabels: {try: own-message}}
- name: both-1
  module: MODULES/deny.wasm
  namespaceSelector: {matchLabels: {try: both}}
- name: both-2
  module: MODULES/guest-error.wasm
  namespaceSelector: {matchLabels: {try: both}}
- name: log
  module: MODULES/audit-logger.wasm
  namespaceSelector: {matchLabels: {try: log}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: ["*"]}]
- name: curious
  module: MODULES/host-call.wasm
  namespaceSelector: {matchLabels: {try: curious}}
- name: never-on-reviews
  module: MODULES/deny.wasm
  rules: [{apiGroups: [authentication.k8s.io, authorization.k8s.io], apiVersions: ["*"], resources: ["*"], operations: ["*"]}]
`

// admissionConfiguration returns an AdmissionConfiguration that contains the plugin's
// configuration.
func admissionConfiguration(directory, configuration string) string {
	configuration = strings.ReplaceAll(configuration, "MODULES", "file://"+directory)
	return `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    ` + strings.ReplaceAll(strings.TrimSpace(configuration), "\n", "\n    ") + "\n"
}

// copyModules copies the modules of all test guests to a directory that only the owner can write
// to, whatever the umask of the checkout was.
func copyModules(directory string) error {
	for _, pattern := range []string{
		"../wat/*.wasm", "../policies/*/policy.wasm", "../../bin/policies/*.wasm",
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("no module at %s: run make policies", pattern)
		}
		for _, file := range files {
			name := filepath.Base(file)
			if name == "policy.wasm" {
				name = filepath.Base(filepath.Dir(file)) + ".wasm"
			}
			wasm, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(directory, name), wasm, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// modules returns a directory with copies of all modules.
func modules(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	require.NoError(t, copyModules(directory))
	return directory
}

// namespaceFor creates a namespace that the named policy matches.
func namespaceFor(t *testing.T, policy string) string {
	t.Helper()
	created, err := enforcing.Clientset().CoreV1().Namespaces().
		Create(t.Context(), &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{
				GenerateName: policy + "-",
				Labels:       map[string]string{"try": policy},
			},
		}, metav1.CreateOptions{})
	require.NoError(t, err)
	return created.Name
}

// configMap returns a ConfigMap. labels alternates between names and values.
func configMap(namespace, name string, labels ...string) *corev1.ConfigMap {
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      name,
			Labels:    map[string]string{},
		},
	}
	for n := 0; n < len(labels); n += 2 {
		object.Labels[labels[n]] = labels[n+1]
	}
	return object
}

func createConfigMap(ctx context.Context, object *corev1.ConfigMap) error {
	_, err := enforcing.Clientset().CoreV1().ConfigMaps(object.Namespace).
		Create(ctx, object, metav1.CreateOptions{})
	return err
}

func pod(name, image string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
	}
}

// requireDenied checks that an error is a policy's denial with the code and the message.
func requireDenied(t *testing.T, err error, code int32, message string) {
	t.Helper()
	var status apierrors.APIStatus
	require.ErrorAs(t, err, &status)
	require.Equal(t, message, status.Status().Message)
	require.Equal(t, code, status.Status().Code)
}

// deniedBy returns the message of a denial by the guest deny.wat.
func deniedBy(policy string) string {
	return fmt.Sprintf("WasmAdmission policy %q denied the request: denied by deny.wat", policy)
}
