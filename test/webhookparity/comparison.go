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
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// patience is the time in which the server must notice the objects that were created for the
// comparison.
const patience = time.Minute

// Comparison is a server with the same policies in process and behind webhooks.
type Comparison struct {
	client    kubernetes.Interface
	dynamic   dynamic.Interface
	directory string
	webhook   *harness.Webhook
	cases     int
}

// New adds the policies as webhooks to a server that was started with Configuration.
func New(ctx context.Context, server *harness.Server, modules string) (c *Comparison, err error) {
	c = &Comparison{client: server.Clientset(), dynamic: server.Dynamic()}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := c.define(ctx); err != nil {
		return c, err
	}
	if err := c.addLatecomer(ctx); err != nil {
		return c, err
	}
	config, err := yaml.Marshal(configuration(modules, byWebhook))
	if err != nil {
		return c, err
	}
	if c.directory, err = os.MkdirTemp("", "parity-webhook-"); err != nil {
		return c, err
	}
	if c.webhook, err = server.NewWebhook(c.directory, string(config)); err != nil {
		return c, err
	}
	return c, c.wait(ctx)
}

// Close stops the webhooks. It keeps the objects on the server.
func (c *Comparison) Close() (err error) {
	if c.webhook != nil {
		err = c.webhook.Stop()
	}
	if c.directory != "" {
		err = errors.Join(err, os.RemoveAll(c.directory))
	}
	return err
}

// wait returns once everything is in effect on the server.
func (c *Comparison) wait(ctx context.Context) error {
	for variant := range variants {
		namespace, err := c.namespace(ctx, variant, byWebhook, true)
		if err != nil {
			return err
		}
		name, tries := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}},
			c.client.CoreV1().Pods(namespace)
		probe := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "probe"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true,
			func(ctx context.Context) (bool, error) {
				pod, err := tries.Create(ctx, probe, name)
				//nolint:nilerr // some variants refuse everything
				return err != nil || len(pod.Labels) > 0 &&
					pod.Annotations[lateAnnotation] != "", nil
			})
		if err != nil {
			return fmt.Errorf("the webhooks of variant %s did not take effect: %w", variant, err)
		}
	}
	return nil
}

// namespace creates a namespace in which a variant's policies are evaluated either in process or by
// webhooks.
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
