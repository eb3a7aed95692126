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

package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// place is a server with policies: a kube-apiserver, or a webhook server that a kube-apiserver
// calls.
type place struct {
	*harness.Server
	// webhook is nil if the policies are in the kube-apiserver itself.
	webhook *harness.Webhook
}

// log returns the log of the server with the policies.
func (p *place) log() string {
	if p.webhook != nil {
		return p.webhook.Logs()
	}
	return p.Logs()
}

var refusedByWebhook = regexp.MustCompile(
	`^admission webhook "[-.a-z0-9]+\.policy\.wasm\.admission\.k8s\.io" denied the request: `)

// said returns a policy's message in a denial, without the name of the webhook that the apiserver
// prepends.
func (p *place) said(message string) string {
	if p.webhook == nil {
		return message
	}
	return message[len(refusedByWebhook.FindString(message)):]
}

// provenance returns the audit annotations of a phase that name the evaluated policies.
func (p *place) provenance(annotations map[string]string, phase string) []string {
	if p.webhook == nil {
		return []string{annotations["wasm.admission.k8s.io/"+phase]}
	}
	var texts []string
	for name, text := range annotations {
		if strings.HasSuffix(name, ".policy.wasm.admission.k8s.io/wasm-admission."+phase) {
			texts = append(texts, text)
		}
	}
	return texts
}

// settle starts a place with policies, and returns once the policies are called. The place belongs
// to a single item.
func (c *cluster) settle(t *testing.T, id string, configuration map[string]any) *place {
	t.Helper()
	if !c.byWebhook {
		admission, err := c.admission(configuration)
		require.NoError(t, err)
		p := &place{
			Server: start(t, harness.Options{
				FeatureGate:     true,
				AuditPolicy:     auditWrites,
				AdmissionConfig: admission,
			}),
		}
		require.NoError(t, grantEyes(t.Context(), p.Server))
		return p
	}
	if c.apiserver == nil {
		c.apiserver = start(c.t, harness.Options{AuditPolicy: auditWrites})
		require.NoError(t, grantEyes(t.Context(), c.apiserver))
	}
	configuration = maps.Clone(configuration)
	policies, _ := configuration["policies"].([]map[string]any)
	configuration["policies"] = append(slices.Clone(policies), probe(id, false), probe(id, true))
	text, err := json.Marshal(configuration)
	require.NoError(t, err)
	p := &place{
		c.apiserver,
		c.apiserver.StartWebhook(t, c.expand(string(text)), "--configuration-name="+id),
	}
	for _, mutating := range []bool{false, true} {
		require.NoError(t, p.reach(t.Context(), probeName(id, mutating)))
	}
	return p
}

// refusal returns the log of a server that refuses to start with policies.
func (c *cluster) refusal(t *testing.T, configuration map[string]any) (string, error) {
	t.Helper()
	if !c.byWebhook {
		admission, err := c.admission(configuration)
		require.NoError(t, err)
		_, log := harness.StartExpectingFailure(t, harness.Options{
			FeatureGate:     true,
			AuditPolicy:     auditWrites,
			AdmissionConfig: admission,
		})
		return log, nil
	}
	text, err := json.Marshal(configuration)
	require.NoError(t, err)
	w, err := c.shared.NewWebhook(t.TempDir(), c.expand(string(text)),
		"--write-webhook-configurations=false")
	if err == nil {
		return "", fmt.Errorf("the webhook server started: %w", w.Stop())
	}
	return err.Error(), nil
}

// admission returns the apiserver's AdmissionConfiguration.
func (c *cluster) admission(configuration map[string]any) (string, error) {
	text, err := json.Marshal(map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
		"plugins": []any{map[string]any{"name": "WasmAdmission", "configuration": configuration}},
	})
	return c.expand(string(text)), err
}

func probeName(id string, mutating bool) string {
	if mutating {
		return "probe-mutating-" + id
	}
	return "probe-" + id
}

// probe returns a policy that denies everything in the namespace with its name. Webhook
// configurations take effect as a whole, so the probe shows when all policies are in effect.
func probe(id string, mutating bool) map[string]any {
	name := probeName(id, mutating)
	return map[string]any{
		"name": name, "module": "$MODULES/deny.wasm", "mutating": mutating,
		"namespaceSelector": map[string]any{
			"matchLabels": map[string]any{corev1.LabelMetadataName: name},
		},
		"rules": []any{
			map[string]any{
				"apiGroups":   []string{""},
				"apiVersions": []string{"v1"},
				"resources":   []string{"configmaps"},
				"operations":  []string{"CREATE"},
			},
		},
	}
}

// reach returns once the apiserver calls the probe of a namespace.
func (p *place) reach(ctx context.Context, namespace string) error {
	if err := ensureNamespace(ctx, p.Server, namespace); err != nil {
		return err
	}
	return eventually(ctx, func() error {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "c-"}}
		if _, err := p.Clientset().CoreV1().ConfigMaps(namespace).Create(ctx, object,
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			return nil //nolint:nilerr // the probe's denial is expected
		}
		return fmt.Errorf("the policy of namespace %s is not called", namespace)
	})
}
