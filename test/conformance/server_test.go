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
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// patience is the time limit for waiting.
const patience = 20 * time.Second

const auditWrites = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, verbs: [create, update, delete]}
- {level: None}
`

// cluster has the servers that show items with the plugin or with the webhook server.
type cluster struct {
	t         *testing.T
	directory string
	byWebhook bool
	// apiserver is the apiserver that calls webhook servers. It is nil until it is started.
	apiserver *harness.Server
	// shared has the policies of all items that do not need their own place.
	shared *place
	// shown, failed and left are the numbers of items that passed, failed, and cannot be shown
	// here.
	shown, failed, left atomic.Int32
}

// count runs an item and counts it.
func (c *cluster) count(t *testing.T, item Item) error {
	if c.skips(item) {
		c.left.Add(1)
		return nil
	}
	c.failed.Add(1)
	err := c.show(t, item)
	if err == nil {
		c.failed.Add(-1)
		c.shown.Add(1)
	}
	return err
}

// newCluster starts the server that items share. t is the test of all items.
func newCluster(t *testing.T, parts []Part, byWebhook bool) *cluster {
	t.Helper()
	c := &cluster{t: t, directory: t.TempDir(), byWebhook: byWebhook}
	require.NoError(t, os.Chmod(c.directory, 0o700))
	require.NoError(t, copyModules(c.directory))
	var items []Item
	for _, part := range parts {
		for _, test := range part.Tests {
			for _, item := range test.Items {
				if item.Server != nil && !item.Server.alone() && !c.skips(item) {
					items = append(items, item)
				}
			}
		}
	}
	configuration, err := c.configuration(items...)
	require.NoError(t, err)
	c.shared = c.settle(t, "shared", configuration)
	return c
}

// skips reports whether an item cannot be shown here.
func (c *cluster) skips(item Item) bool { return c.byWebhook && item.Server.InProcess != "" }

// start starts a server that stops when the test ends. Because the log is long, a failure only
// reports why the server exited.
func start(t *testing.T, options harness.Options) *harness.Server {
	t.Helper()
	server, err := harness.New(options)
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), "\nkube-apiserver: ")
		t.Fatalf("the server did not start: %s", why)
	}
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// alone reports whether the item has its own server.
func (s *Server) alone() bool { return s.Refused != nil || s.Configuration != nil }

// copyModules copies all modules to a directory that only the owner can write to.
func copyModules(directory string) error {
	for pattern, prefix := range map[string]string{
		"test/wat/*.wasm": "", "test/policies/*/policy.wasm": "", "bin/policies/*.wasm": "",
		"bin/checklist/*.wasm": "checklist-",
	} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
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
			if err := os.WriteFile(filepath.Join(directory, prefix+name), wasm, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// configuration returns a WasmAdmissionConfiguration with the items' policies.
func (c *cluster) configuration(items ...Item) (map[string]any, error) {
	manifests, err := os.MkdirTemp(c.directory, "manifests-")
	if err != nil {
		return nil, err
	}
	configuration := map[string]any{
		"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration",
		"circuitBreaker": map[string]any{"failures": 0},
		"capabilities":   map[string]any{"kubernetes": map[string]any{"user": "eyes"}},
	}
	var policies, groups []map[string]any
	for _, item := range items {
		policies = append(policies, item.named(item.Server.Policies)...)
		groups = append(groups, item.named(item.Server.Groups)...)
		if item.Server.Manifest != "" {
			configuration["policyDirectory"] = manifests
			if err := os.WriteFile(filepath.Join(manifests, item.ID+".yaml"),
				[]byte(c.expand(item.Server.Manifest)), 0o600); err != nil {
				return nil, err
			}
		}
		maps.Copy(configuration, item.Server.Configuration)
	}
	configuration["policies"], configuration["policyGroups"] = policies, groups
	return configuration, nil
}

func (c *cluster) expand(text string) string {
	return strings.ReplaceAll(text, "$MODULES", "file://"+c.directory)
}

// named adds the default names and namespaces to policies.
func (i *Item) named(policies []map[string]any) (named []map[string]any) {
	for _, policy := range policies {
		policy = maps.Clone(policy)
		if policy["name"] == nil {
			policy["name"] = i.ID
		}
		if policy["namespaceSelector"] == nil {
			policy["namespaceSelector"] = map[string]any{
				"matchLabels": map[string]any{corev1.LabelMetadataName: i.ID},
			}
		}
		named = append(named, policy)
	}
	return named
}

// grantEyes grants policies access to everything, and returns once the grant is in effect.
func grantEyes(ctx context.Context, server *harness.Server) error {
	_, err := server.Clientset().RbacV1().ClusterRoleBindings().
		Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
			RoleRef: rbacv1.RoleRef{
				APIGroup: rbacv1.GroupName,
				Kind:     "ClusterRole",
				Name:     "cluster-admin",
			},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eyes"}}},
			metav1.CreateOptions{})
	if err != nil {
		return err
	}
	review :=
		&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "eyes",
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group:    "*",
				Version:  "*",
				Resource: "*",
				Verb:     "*",
			}}}
	return wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true,
		func(ctx context.Context) (bool, error) {
			answer, err := server.Clientset().AuthorizationV1().SubjectAccessReviews().
				Create(ctx, review, metav1.CreateOptions{})
			return err == nil && answer.Status.Allowed, err
		})
}

// show returns an error if an expectation is not met. It fails t if a server starts that should
// have refused to.
func (c *cluster) show(t *testing.T, item Item) error {
	s, p := item.Server, c.shared
	if s.alone() {
		configuration, err := c.configuration(item)
		if err != nil {
			return err
		}
		if s.Refused != nil {
			log, err := c.refusal(t, configuration)
			if err != nil {
				return err
			}
			return lacks(log, s.Refused)
		}
		p = c.settle(t, item.ID, configuration)
	}
	return s.converse(t.Context(), p, item.ID)
}

// lacks returns an error if a log does not contain all texts.
func lacks(log string, texts []string) error {
	for _, text := range texts {
		if !strings.Contains(log, text) {
			return fmt.Errorf("the log lacks %q", text)
		}
	}
	return nil
}

// converse sends the requests.
func (s *Server) converse(ctx context.Context, p *place, namespace string) error {
	if err := ensureNamespace(ctx, p.Server, namespace); err != nil {
		return err
	}
	for _, object := range s.Objects {
		if _, _, err := send(ctx, p.Server, namespace, &Request{Create: object}); err != nil &&
			!apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	for n, step := range s.Steps {
		if err := step.show(ctx, p, namespace); err != nil {
			return fmt.Errorf("steps[%d]: %w", n, err)
		}
	}
	return eventually(ctx, func() error { return lacks(p.log(), s.Log) })
}

// eventually calls try until it succeeds or patience is over, and returns the last error.
func eventually(ctx context.Context, try func() error) (err error) {
	_ = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true,
		func(context.Context) (bool, error) {
			err = try()
			return err == nil, nil
		})
	return err
}

func ensureNamespace(ctx context.Context, server *harness.Server, name string) error {
	_, err := server.Clientset().CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}
