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

package webhookparity

import (
	"context"
	"errors"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/test/webhook"
)

// patience is how long the server may take to learn of what was made for the comparison.
const patience = time.Minute

// Comparison is a server with the policies in process, and the same policies behind
// webhooks.
type Comparison struct {
	client  kubernetes.Interface
	dynamic dynamic.Interface
	engine  *engine.Engine
	set     *policyset.Set
	server  *webhook.Server
	cases   int
}

// New puts the policies behind webhooks of a server that was started with Configuration.
func New(ctx context.Context, config *rest.Config, modules string) (c *Comparison, err error) {
	c = &Comparison{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return c, err
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return c, err
	}
	if err := c.load(ctx, modules); err != nil {
		return c, err
	}
	if c.server, err = webhook.Serve(c.set.Policies()...); err != nil {
		return c, err
	}
	if err := c.define(ctx); err != nil {
		return c, err
	}
	if err := c.addLatecomer(ctx); err != nil {
		return c, err
	}
	for variant, policies := range variants {
		if _, err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, c.configuration(variant, policies), metav1.CreateOptions{}); err != nil {
			return c, err
		}
	}
	return c, c.wait(ctx)
}

// Close stops the webhooks. What was made on the server stays.
func (c *Comparison) Close() error {
	if c.server != nil {
		c.server.Close()
	}
	if c.set != nil {
		c.set.Close()
	}
	if c.engine != nil {
		return c.engine.Close()
	}
	return nil
}

// load loads the policies that the webhooks evaluate.
func (c *Comparison) load(ctx context.Context, modules string) (err error) {
	if c.engine, err = engine.New(engine.Options{Compilation: engine.InProcess}); err != nil {
		return err
	}
	unset, err := assembly.Decode(nil)
	if err != nil {
		return err
	}
	config := &wasmadmission.WasmAdmissionConfiguration{Limits: unset.Limits}
	for _, policies := range variants {
		for _, p := range policies {
			config.Policies = append(config.Policies, wasmadmission.Policy{
				Name:     p.name,
				Module:   "file://" + modules + "/" + p.module + ".wasm",
				Settings: runtime.RawExtension{Raw: []byte(p.settings)},
				Rules:    rules(),
				Mutating: true,
			})
		}
	}
	set, errs := (&policyset.Loader{Engine: c.engine}).Load(ctx, config)
	c.set = set
	return errs.ToAggregate()
}

// configuration has the server call the webhooks of a variant's policies.
func (c *Comparison) configuration(variant string, policies []policy) *admissionregistrationv1.MutatingWebhookConfiguration {
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: variant}}
	for _, p := range policies {
		configuration.Webhooks = append(configuration.Webhooks, admissionregistrationv1.MutatingWebhook{
			Name:                    p.name + ".parity.example.com",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: new(c.server.URL(p.name)), CABundle: c.server.CA},
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			ReinvocationPolicy:      new(p.reinvocation),
			NamespaceSelector:       selector(variant, byWebhook),
			Rules:                   rules(),
		})
	}
	return configuration
}

// wait returns once everything takes effect on the server.
func (c *Comparison) wait(ctx context.Context) error {
	for variant := range variants {
		namespace, err := c.namespace(ctx, variant, byWebhook, true)
		if err != nil {
			return err
		}
		name, tries := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}, c.client.CoreV1().Pods(namespace)
		probe := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
		err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
			pod, err := tries.Create(ctx, probe, name)
			//nolint:nilerr // some variants refuse everything
			return err != nil || len(pod.Labels) > 0 && pod.Annotations[lateAnnotation] != "", nil
		})
		if err != nil {
			return fmt.Errorf("the webhooks of variant %s take no effect: %w", variant, err)
		}
	}
	return nil
}

// namespace makes a namespace in which a variant's policies are evaluated in one way.
func (c *Comparison) namespace(ctx context.Context, variant, by string, late bool) (string, error) {
	c.cases++
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:   fmt.Sprintf("parity-%03d", c.cases),
		Labels: map[string]string{variantLabel: variant, byLabel: by},
	}}
	if late {
		namespace.Labels[lateLabel] = "yes"
	}
	_, err := c.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	return namespace.Name, err
}
