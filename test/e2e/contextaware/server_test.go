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

// Package contextaware tests policies' access to the cluster against the real kube-apiserver. The
// capability runs in the test and uses the network, as in wasmctl.
package contextaware

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/kubernetes"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// server is the server of all tests. Each test has its own namespace.
var server *harness.Server

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	var err error
	if server, err = harness.New(harness.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the server:", err)
			code = 1
		}
	}()
	return m.Run()
}

// reviews is an authorizer that asks the server.
type reviews struct{}

func (reviews) Authorize(ctx context.Context,
	a authorizer.Attributes) (authorizer.Decision, string, error) {
	review, err := server.Clientset().AuthorizationV1().SubjectAccessReviews().
		Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: a.GetUser().GetName(),
				Groups: a.GetUser().GetGroups(),
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: a.GetVerb(), Group: a.GetAPIGroup(), Version: a.GetAPIVersion(),
					Resource:    a.GetResource(),
					Subresource: a.GetSubresource(), Namespace: a.GetNamespace(), Name: a.GetName(),
				}},
		}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return authorizer.DecisionNoOpinion, "", err
	case review.Status.Allowed:
		return authorizer.DecisionAllow, review.Status.Reason, nil
	default:
		return authorizer.DecisionNoOpinion, review.Status.Reason, nil
	}
}

// options returns options for a capability that reads as a cluster administrator. The server
// authorizes this user like any other.
func options() kubernetes.Options {
	return kubernetes.Options{
		Client: server.Dynamic(), Discovery: server.Clientset().DiscoveryClient,
		Authorizer: reviews{},
		User:       &user.DefaultInfo{Name: "eyes", Groups: []string{"system:masters"}},
	}
}

// looker is a policy that reads the cluster.
type looker struct {
	*kubernetes.Kubernetes
	caller capabilities.Caller
}

func newLooker(t *testing.T, o kubernetes.Options, resources ...abi.ContextAwareResource) *looker {
	t.Helper()
	k, err := kubernetes.New(t.Context(), o)
	require.NoError(t, err)
	return &looker{k, capabilities.Caller{Policy: "looker", Resources: resources}}
}

var (
	namespaces = abi.ContextAwareResource{APIVersion: "v1", Kind: "Namespace"}
	configMaps = abi.ContextAwareResource{APIVersion: "v1", Kind: "ConfigMap"}
	secrets    = abi.ContextAwareResource{APIVersion: "v1", Kind: "Secret"}
)

// call makes a host call with a deadline of a few seconds.
func (l *looker) call(t *testing.T, operation, payload string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return l.Call(ctx, &l.caller, operation, []byte(payload))
}

// names returns the names of a list's items, with their namespaces as prefixes.
func (l *looker) names(t *testing.T, operation, payload string) []string {
	t.Helper()
	names := []string{}
	for _, item := range l.items(t, operation, payload) {
		names = append(names, strings.TrimPrefix(item.GetNamespace()+"/"+item.GetName(), "/"))
	}
	return names
}

func (l *looker) items(t *testing.T, operation, payload string) []unstructured.Unstructured {
	t.Helper()
	answer, err := l.call(t, operation, payload)
	require.NoError(t, err)
	list := unstructured.UnstructuredList{}
	require.NoError(t, json.Unmarshal(answer, &list), "%s", answer)
	return list.Items
}

// newNamespace creates a namespace for a test. It is not deleted.
func newNamespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	created, err := server.Clientset().CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "ns-", Labels: labels}},
		metav1.CreateOptions{})
	require.NoError(t, err)
	return created.Name
}

// newConfigMap applies a ConfigMap with data, as kubectl does.
func newConfigMap(t *testing.T, namespace, name string, labels map[string]string) {
	t.Helper()
	_, err := server.Clientset().CoreV1().ConfigMaps(namespace).
		Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Name:   name,
				Labels: labels,
				Annotations: map[string]string{
					corev1.LastAppliedConfigAnnotation: "{}",
					"kept":                             "<&>",
				},
			},
			Data: map[string]string{"a": "1", "b": "2"},
		}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// eventually waits until a condition holds.
func eventually(t *testing.T, condition func() bool, message string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 20*time.Millisecond, message)
}
