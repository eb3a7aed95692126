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

// Package webhook tests wasm-admission-webhook with the real kube-apiserver, whose own plugin is
// disabled.
package webhook

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

const auditWrites = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Request, verbs: [create, update], resources: [{group: "", resources: [configmaps]}]}
`

// server is the apiserver of all tests, and modules is a directory with copies of the test guests.
var (
	server  *harness.Server
	modules string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	if modules, err = os.MkdirTemp("", "wasm-admission-modules-"); err != nil {
		return fail(err)
	}
	defer func() { _ = os.RemoveAll(modules) }() // in the system's temporary directory
	if err := copyModules(modules); err != nil {
		return fail(err)
	}
	if server, err = harness.New(harness.Options{AuditPolicy: auditWrites}); err != nil {
		return fail(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			code = fail(err)
		}
	}()
	return m.Run()
}

// copyModules copies guests to a directory that only the owner can write to.
func copyModules(directory string) error {
	for _, pattern := range []string{"../../wat/*.wasm", "../../../bin/policies/*.wasm"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("no module at %s: run make policies", pattern)
		}
		for _, file := range files {
			wasm, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(directory, filepath.Base(file)), wasm,
				0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// configuration returns a WasmAdmissionConfiguration. In text, MODULES is replaced by the URI of
// the directory with the modules, and NAMESPACES by a selector for this test's namespaces.
func configuration(t *testing.T, text string) string {
	t.Helper()
	text = strings.NewReplacer("MODULES", "file://"+modules, "NAMESPACES",
		"namespaceSelector: {matchLabels: {test: "+t.Name()+"}}").Replace(text)
	return "apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n" +
		text
}

// namespace creates a namespace for this test.
func namespace(t *testing.T, labels ...string) string {
	t.Helper()
	n := &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "ns-",
			Labels:       map[string]string{"test": t.Name()},
		},
	}
	for i := 0; i < len(labels); i += 2 {
		n.Labels[labels[i]] = labels[i+1]
	}
	created, err := server.Clientset().CoreV1().Namespaces().
		Create(t.Context(), n, metav1.CreateOptions{})
	require.NoError(t, err)
	return created.Name
}

// create creates a ConfigMap with labels, and returns the stored object.
func create(t *testing.T, namespace string, labels ...string) (*corev1.ConfigMap, error) {
	t.Helper()
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "c-", Labels: map[string]string{}},
	}
	for i := 0; i < len(labels); i += 2 {
		object.Labels[labels[i]] = labels[i+1]
	}
	return server.Clientset().CoreV1().ConfigMaps(namespace).Create(t.Context(), object,
		metav1.CreateOptions{})
}

// start starts a webhook server, and returns once the apiserver calls it. One of its policies must
// deny ConfigMaps with the label of the probe.
func start(t *testing.T, text string, args ...string) *harness.Webhook {
	t.Helper()
	t.Cleanup(func() { removeConfigurations(t) })
	w := server.StartWebhook(t, configuration(t, text+`
- {name: probe, module: MODULES/deny.wasm, NAMESPACES, objectSelector: {matchLabels: {probe: probe}}, `+configMaps+`}
`), args...)
	ns := namespace(t)
	eventually(t, func() bool {
		_, err := create(t, ns, "probe", "probe")
		return err != nil
	})
	return w
}

const configMaps = `rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}]`

func removeConfigurations(t *testing.T) {
	t.Helper()
	api := server.Clientset().AdmissionregistrationV1()
	for _, remove := range []func(context.Context, string, metav1.DeleteOptions) error{
		api.ValidatingWebhookConfigurations().Delete, api.MutatingWebhookConfigurations().Delete,
	} {
		if err := remove(context.Background(), "wasm-admission",
			metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			require.NoError(t, err)
		}
	}
}

// requireDenied checks that an error is a denial with the code and the message.
func requireDenied(t *testing.T, err error, code int32, message string) {
	t.Helper()
	var status apierrors.APIStatus
	require.ErrorAs(t, err, &status)
	require.Contains(t, status.Status().Message, message)
	require.Equal(t, code, status.Status().Code)
}
