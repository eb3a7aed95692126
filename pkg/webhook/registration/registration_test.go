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

package registration

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

func newPolicy(name string, adjust ...func(*wasmadmission.Policy)) *wasmadmission.Policy {
	p := &wasmadmission.Policy{
		Name: name, FailurePolicy: admissionregistrationv1.Fail,
		MatchPolicy: admissionregistrationv1.Equivalent, Mode: wasmadmission.ModeProtect,
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule: admissionregistrationv1.Rule{
				APIGroups:   []string{""},
				APIVersions: []string{"v1"},
				Resources:   []string{"pods"},
			},
		}},
	}
	for _, a := range adjust {
		a(p)
	}
	return p
}

func mutating(p *wasmadmission.Policy) { p.Mutating = true }

func target() Target {
	return Target{
		Name: "wasm-admission", Service: &admissionregistrationv1.ServiceReference{
			Namespace: "system",
			Name:      "webhook",
		},
		CABundle: []byte("CA"), ExcludedNamespaces: []string{"system"},
	}
}

func TestWebhooksOfPolicies(t *testing.T) {
	for _, test := range []struct {
		name   string
		adjust func(*wasmadmission.Policy)
		target func(*Target)
		check  func(*testing.T, *admissionregistrationv1.ValidatingWebhook)
	}{
		{"defaults", nil, nil, func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
			require.Equal(t, "p.policy.wasm.admission.k8s.io", w.Name)
			require.Equal(t, "/validate/p", *w.ClientConfig.Service.Path)
			require.Equal(t, int32(443), *w.ClientConfig.Service.Port)
			require.Equal(t, []byte("CA"), w.ClientConfig.CABundle)
			require.Equal(t, admissionregistrationv1.Fail, *w.FailurePolicy)
			require.Equal(t, int32(10), *w.TimeoutSeconds)
			require.Equal(t, admissionregistrationv1.SideEffectClassNone, *w.SideEffects)
			require.Equal(t, admissionregistrationv1.AllScopes, *w.Rules[0].Scope)
			require.Empty(t, w.MatchConditions)
			require.Equal(t,
				[]metav1.LabelSelectorRequirement{{
					Key: "kubernetes.io/metadata.name", Operator: "NotIn",
					Values: []string{"system"},
				}}, w.NamespaceSelector.MatchExpressions)
		}},
		{"url", nil, func(x *Target) { x.Service, x.URL = nil, "https://127.0.0.1:8443/" },
			func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
				require.Nil(t, w.ClientConfig.Service)
				require.Equal(t, "https://127.0.0.1:8443/validate/p", *w.ClientConfig.URL)
			}},
		{"monitor mode never refuses", func(p *wasmadmission.Policy) {
			p.Mode = wasmadmission.ModeMonitor
		}, nil, func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
			require.Equal(t, admissionregistrationv1.Ignore, *w.FailurePolicy)
		}},
		{"timeout", func(p *wasmadmission.Policy) { p.TimeoutSeconds = new(int32(3)) }, nil,
			func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
				require.Equal(t, int32(3), *w.TimeoutSeconds)
			}},
		{"side effects", func(p *wasmadmission.Policy) {
			p.SideEffects = new(admissionregistrationv1.SideEffectClassNoneOnDryRun)
		}, nil, func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
			require.Equal(t, admissionregistrationv1.SideEffectClassNoneOnDryRun, *w.SideEffects)
		}},
		{"namespace and selectors", func(p *wasmadmission.Policy) {
			p.Namespace = "n"
			p.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
			p.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"c": "d"}}
		}, nil, func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
			require.Equal(t, map[string]string{"a": "b"}, w.NamespaceSelector.MatchLabels)
			require.Equal(t, metav1.LabelSelectorRequirement{
				Key:      "kubernetes.io/metadata.name",
				Operator: "In",
				Values:   []string{"n"},
			}, w.NamespaceSelector.MatchExpressions[0])
			require.Len(t, w.NamespaceSelector.MatchExpressions, 2)
			require.Equal(t, map[string]string{"c": "d"}, w.ObjectSelector.MatchLabels)
		}},
		{"exemptions", nil, func(x *Target) {
			x.Exemptions = wasmadmission.Exemptions{
				Usernames:  []string{`a"b`, "é"},
				Groups:     []string{"g"},
				Namespaces: []string{"kube-system", "system"},
			}
		}, func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
			require.Equal(t, []admissionregistrationv1.MatchCondition{
				{
					Name:       "no-exempt-users",
					Expression: `!(request.userInfo.username in ["a\"b", "\u00e9"])`,
				},
				{
					Name:       "no-exempt-groups",
					Expression: `!request.userInfo.groups.exists(g, g in ["g"])`,
				},
			}, w.MatchConditions)
			require.Equal(t, []string{"kube-system", "system"},
				w.NamespaceSelector.MatchExpressions[0].Values)
		}},
		{"everything", func(p *wasmadmission.Policy) {
			p.Rules[0].APIGroups, p.Rules[0].Resources = []string{"*"}, []string{"*/*"}
		}, nil, func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
			require.Equal(t, []admissionregistrationv1.MatchCondition{
				{
					Name:       "no-virtual-resources",
					Expression: `!(request.resource.group in ["authentication.k8s.io", "authorization.k8s.io"])`,
				},
			}, w.MatchConditions)
		}},
		{"own match conditions stay ours", func(p *wasmadmission.Policy) {
			p.MatchConditions = []admissionregistrationv1.MatchCondition{{
				Name: "c", Expression: "namespaceObject != null",
			}}
		}, nil, func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
			require.Empty(t, w.MatchConditions)
		}},
		{"long name", func(p *wasmadmission.Policy) { p.Name = strings.Repeat("a", 250) }, nil,
			func(t *testing.T, w *admissionregistrationv1.ValidatingWebhook) {
				require.Less(t, len(w.Name), 254)
				require.Equal(t, "/validate/"+strings.Repeat("a", 250),
					*w.ClientConfig.Service.Path)
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := target()
			if test.target != nil {
				test.target(&x)
			}
			p := newPolicy("p")
			if test.adjust != nil {
				test.adjust(p)
			}
			c := x.Configurations([]*wasmadmission.Policy{p})
			require.Empty(t, c.Mutating.Webhooks)
			test.check(t, &c.Validating.Webhooks[0])
		})
	}
}

func TestMutatingWebhooksAreInTheOrderOfPolicies(t *testing.T) {
	x := target()
	c :=
		x.Configurations([]*wasmadmission.Policy{newPolicy("a", mutating),
			newPolicy("a-b", mutating), newPolicy("c"),
			newPolicy("d", mutating, func(p *wasmadmission.Policy) {
				p.ReinvocationPolicy = admissionregistrationv1.NeverReinvocationPolicy
			})})
	require.Len(t, c.Validating.Webhooks, 1)
	require.Len(t, c.Mutating.Webhooks, 3)
	for n, path := range []string{"/mutate/a", "/mutate/a-b", "/mutate/d"} {
		require.Equal(t, path, *c.Mutating.Webhooks[n].ClientConfig.Service.Path)
	}
	require.Equal(t, admissionregistrationv1.IfNeededReinvocationPolicy,
		*c.Mutating.Webhooks[0].ReinvocationPolicy)
	require.Equal(t, admissionregistrationv1.NeverReinvocationPolicy,
		*c.Mutating.Webhooks[2].ReinvocationPolicy)
}

// server returns the writer of one of several servers.
func server(client *fake.Clientset, target Target, policies ...*wasmadmission.Policy) *Writer {
	w := NewWriter(Options{Client: client, Target: target})
	w.have(policies...)
	return w
}

func (w *Writer) have(policies ...*wasmadmission.Policy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.policies, w.known, w.pending.policies = policies, true, true
}

func validatingOf(t *testing.T,
	client *fake.Clientset) *admissionregistrationv1.ValidatingWebhookConfiguration {
	t.Helper()
	c, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().
		Get(t.Context(), "wasm-admission", metav1.GetOptions{})
	require.NoError(t, err)
	return c
}

func paths(c *admissionregistrationv1.ValidatingWebhookConfiguration) []string {
	var paths []string
	for n := range c.Webhooks {
		paths = append(paths, *c.Webhooks[n].ClientConfig.Service.Path)
	}
	return paths
}

// writes returns the number of writes since the last call.
func writes(client *fake.Clientset) int {
	n := 0
	for _, action := range client.Actions() {
		if action.GetVerb() != "get" {
			n++
		}
	}
	client.ClearActions()
	return n
}

func TestConfigurationsAreWrittenOnceAndMended(t *testing.T) {
	client := fake.NewClientset()
	w := server(client, target(), newPolicy("p"))
	require.NoError(t, w.Write(t.Context()))
	require.Equal(t, []string{"/validate/p"}, paths(validatingOf(t, client)))
	require.Equal(t, 2, writes(client))
	require.NoError(t, w.Write(t.Context()))
	require.Zero(t, writes(client), "there is nothing to write")

	is := validatingOf(t, client)
	is.Webhooks[0].FailurePolicy = new(admissionregistrationv1.Ignore)
	_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().
		Update(t.Context(), is, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, w.Write(t.Context()))
	require.Equal(t, admissionregistrationv1.Fail,
		*validatingOf(t, client).Webhooks[0].FailurePolicy)

	require.NoError(t, client.AdmissionregistrationV1().ValidatingWebhookConfigurations().
		Delete(t.Context(), "wasm-admission", metav1.DeleteOptions{}))
	require.NoError(t, w.Write(t.Context()))
	require.Equal(t, []string{"/validate/p"}, paths(validatingOf(t, client)))
}

// Whoever replaces a configuration loses its annotations, too. It is not taken for that of another
// server.
func TestReplacedConfigurationsAreMended(t *testing.T) {
	client := fake.NewClientset()
	w := server(client, target(), newPolicy("p"))
	require.NoError(t, w.Write(t.Context()))
	want := validatingOf(t, client)
	for _, annotations := range []map[string]string{
		nil, {"example.com/other": "x"}, {hashAnnotation: ""}, {hashAnnotation: "none"},
	} {
		is := validatingOf(t, client)
		is.Annotations, is.Webhooks = annotations, nil
		_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().
			Update(t.Context(), is, metav1.UpdateOptions{})
		require.NoError(t, err)
		require.NoError(t, w.Write(t.Context()))
		now := validatingOf(t, client)
		require.Equal(t, want.Webhooks, now.Webhooks, annotations)
		require.Equal(t, want.Annotations[hashAnnotation], now.Annotations[hashAnnotation])
		require.Equal(t, annotations["example.com/other"], now.Annotations["example.com/other"])
	}
	writes(client)
	require.NoError(t, w.Write(t.Context()))
	require.Zero(t, writes(client))
}

func TestNothingIsWrittenBeforeThePoliciesAreKnown(t *testing.T) {
	client := fake.NewClientset()
	w := NewWriter(Options{Client: client, Target: target()})
	w.Enqueue()
	require.NoError(t, w.Write(t.Context()))
	require.Empty(t, client.Actions())
}

// The last change wins, and servers with different policies do not overwrite each other in turns.
func TestServersWithOtherPoliciesDoNotTakeTurns(t *testing.T) {
	client := fake.NewClientset()
	first, second := server(client, target(), newPolicy("p")),
		server(client, target(), newPolicy("p"), newPolicy("q"))
	require.NoError(t, first.Write(t.Context()))
	require.NoError(t, second.Write(t.Context()))
	require.Equal(t, []string{"/validate/p", "/validate/q"}, paths(validatingOf(t, client)))
	writes(client)
	for range 3 {
		require.NoError(t, first.Write(t.Context()))
		require.NoError(t, second.Write(t.Context()))
	}
	require.Zero(t, writes(client))
}

func TestCertificates(t *testing.T) {
	client := fake.NewClientset()
	x := target()
	x.CABundle = nil
	w := server(client, x, newPolicy("p"))
	require.NoError(t, w.Write(t.Context()))
	is := validatingOf(t, client)
	is.Webhooks[0].ClientConfig.CABundle = []byte("injected")
	_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().
		Update(t.Context(), is, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.have(newPolicy("p"), newPolicy("q"))
	require.NoError(t, w.Write(t.Context()))
	require.Equal(t, "injected", string(validatingOf(t, client).Webhooks[0].ClientConfig.CABundle),
		"certificates of another program stay")

	bundle := "one"
	old, rotated := server(client, target(), newPolicy("p")),
		NewWriter(Options{
			Client:   client,
			Target:   target(),
			CABundle: func() []byte { return []byte(bundle) },
		})
	rotated.have(newPolicy("p"))
	require.NoError(t, rotated.Write(t.Context()))
	require.NoError(t, old.Write(t.Context()))
	require.Equal(t, "CA", string(validatingOf(t, client).Webhooks[0].ClientConfig.CABundle))
	bundle = "two"
	rotated.Enqueue()
	require.NoError(t, rotated.Write(t.Context()))
	require.NoError(t, old.Write(t.Context()), "who does not know of it yet leaves it alone")
	require.Equal(t, "two", string(validatingOf(t, client).Webhooks[0].ClientConfig.CABundle))
}

// A policy that moves between phases is always in at least one configuration.
func TestPoliciesThatMoveAreNeverGone(t *testing.T) {
	client := fake.NewClientset()
	w := server(client, target(), newPolicy("p"), newPolicy("q", mutating))
	require.NoError(t, w.Write(t.Context()))
	looked := 0
	client.PrependReactor("update", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		looked++
		return false, nil, nil
	})
	check := func() {
		api := client.AdmissionregistrationV1()
		v, err := api.ValidatingWebhookConfigurations().Get(context.Background(), "wasm-admission",
			metav1.GetOptions{})
		require.NoError(t, err)
		m, err := api.MutatingWebhookConfigurations().Get(context.Background(), "wasm-admission",
			metav1.GetOptions{})
		require.NoError(t, err)
		names := map[string]bool{}
		for n := range v.Webhooks {
			names[v.Webhooks[n].Name] = true
		}
		for n := range m.Webhooks {
			names[m.Webhooks[n].Name] = true
		}
		require.Len(t, names, 2)
	}
	// The loop stops after each write and checks the configurations.
	w.have(newPolicy("p", mutating), newPolicy("q"))
	for fail := 1; ; fail++ {
		n := 0
		client.PrependReactor("update", "*",
			func(clienttesting.Action) (bool, runtime.Object, error) {
				n++
				if n >= fail {
					return true, nil, errors.New("interrupted")
				}
				return false, nil, nil
			})
		err := w.Write(t.Context())
		client.ReactionChain = client.ReactionChain[1:]
		check()
		if err == nil {
			break
		}
		require.Less(t, fail, 10)
	}
	require.GreaterOrEqual(t, looked, 2)
	require.Equal(t, []string{"/validate/q"}, paths(validatingOf(t, client)))
}

func TestConfigurationsOfOthersAreLeftAlone(t *testing.T) {
	client := fake.NewClientset(&admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "wasm-admission"},
	})
	w := server(client, target(), newPolicy("p"))
	require.ErrorContains(t, w.Write(t.Context()),
		"writing validatingwebhookconfigurations/wasm-admission: it belongs to another program")
	require.ErrorContains(t, w.Write(t.Context()), "belongs to another program", "it is still pending")
	require.Zero(t, writes(client))
}
