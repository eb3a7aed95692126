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

package chaos

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// patience bounds how long anything may take to happen. It exists only so that what
// never happens fails its test.
const patience = time.Minute

// eventually waits until check has no objection.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	require.NoError(t, err, "%s: not within %s", what, patience)
}

var teamLabel = regexp.MustCompile("^[a-z]+$")

// proveViolations makes each violating write while nothing is enforced: each is one that
// the server stores and that is found. It leaves the namespace with what complies.
func (c *cluster) proveViolations(t *testing.T) {
	client := c.server.Clientset()
	_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, c.create(t.Context(), kept))
	for n := range violations {
		require.NoError(t, violations[n].write(t.Context(), client), violations[n].name)
		require.Equal(t, n+1, c.violating(t), violations[n].name)
	}
	all := metav1.ListOptions{}
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	require.NoError(t, client.CoreV1().Pods(namespace).DeleteCollection(t.Context(), now, all))
	require.NoError(t, client.AppsV1().Deployments(namespace).DeleteCollection(t.Context(), now, all))
	require.NoError(t, client.CoreV1().ConfigMaps(namespace).DeleteCollection(t.Context(), now, all))
	require.NoError(t, c.create(t.Context(), kept))
	require.Zero(t, c.violating(t))
}

// create makes a ConfigMap that complies.
func (c *cluster) create(ctx context.Context, name string) error {
	_, err := c.server.Clientset().CoreV1().ConfigMaps(namespace).Create(ctx, configMap(name, "team", "blue"), metav1.CreateOptions{})
	return err
}

// unenforced counts the violating writes that were admitted: those that are stored, or
// those that were answered so, if these are more.
func (c *cluster) unenforced(t *testing.T) int {
	t.Helper()
	return max(c.violating(t), int(c.hammer.admitted.Load()))
}

// violating counts the violating objects that are stored.
func (c *cluster) violating(t *testing.T) int {
	t.Helper()
	client := c.server.Clientset()
	violating := 0
	pods, err := client.CoreV1().Pods(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for n := range pods.Items {
		violating += count(privileged(&pods.Items[n].Spec))
	}
	deployments, err := client.AppsV1().Deployments(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for n := range deployments.Items {
		violating += count(privileged(&deployments.Items[n].Spec.Template.Spec))
	}
	configMaps, err := client.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	found := false
	for n := range configMaps.Items {
		violating += count(!teamLabel.MatchString(configMaps.Items[n].Labels["team"]))
		found = found || configMaps.Items[n].Name == kept
	}
	require.True(t, found, "what complied is still there")
	return violating
}

func count(violating bool) int {
	if violating {
		return 1
	}
	return 0
}

func privileged(spec *corev1.PodSpec) bool {
	for _, container := range spec.Containers {
		if c := container.SecurityContext; c != nil && c.Privileged != nil && *c.Privileged {
			return true
		}
	}
	return false
}

// requireControl checks that writes that comply pass.
func (c *cluster) requireControl(t *testing.T) {
	t.Helper()
	eventually(t, "writes that comply pass", func() error {
		return errors.Join(c.comply(t.Context(), pod("", false)), c.comply(t.Context(), configMap("", "team", "red")))
	})
}

// comply writes an object and removes it again.
func (c *cluster) comply(ctx context.Context, object any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return complyWith(ctx, c.server.Clientset(), object)
}

func complyWith(ctx context.Context, clientset kubernetes.Interface, object any) error {
	client := clientset.CoreV1()
	switch object := object.(type) {
	case *corev1.Pod:
		created, err := client.Pods(namespace).Create(ctx, object, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return client.Pods(namespace).Delete(ctx, created.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	case *corev1.ConfigMap:
		created, err := client.ConfigMaps(namespace).Create(ctx, object, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return client.ConfigMaps(namespace).Delete(ctx, created.Name, metav1.DeleteOptions{})
	}
	return fmt.Errorf("cannot write a %T", object)
}

// requireDenials checks that violating writes are denied by the policies that are there
// for it, of which the writers see a good number.
func (c *cluster) requireDenials(t *testing.T) {
	t.Helper()
	before := c.hammer.denied.Load()
	eventually(t, "violating writes are denied by policy", func() error {
		if more := c.hammer.denied.Load() - before; more < 100 {
			return fmt.Errorf("%d more denials; %s", more, &c.hammer)
		}
		return nil
	})
}
