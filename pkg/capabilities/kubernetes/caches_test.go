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

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// podsAndNodes is a discovery that knows pods and nodes.
type podsAndNodes struct{}

func (podsAndNodes) ServerResourcesForGroupVersionWithContext(context.Context,
	string) (*metav1.APIResourceList, error) {
	return &metav1.APIResourceList{APIResources: []metav1.APIResource{
		{Name: "pods", Kind: "Pod", Namespaced: true}, {Name: "nodes", Kind: "Node"},
	}}, nil
}

// anywhere decides whether lists of all namespaces are allowed, or only lists of single namespaces.
type anywhere bool

func (all anywhere) Authorize(_ context.Context,
	a authorizer.Attributes) (authorizer.Decision, string, error) {
	if bool(all) || a.GetNamespace() != "" {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionDeny, "", nil
}

// newCluster returns a capability for a cluster of pods, each with its own label, and the client
// that records the requests.
func newCluster(t *testing.T, pods int,
	change func(*Options)) (*Kubernetes, *dynamicfake.FakeDynamicClient) {
	t.Helper()
	var objects []runtime.Object
	for n := range pods {
		u := object("ns", fmt.Sprint("pod-", n))
		u.SetLabels(map[string]string{"n": fmt.Sprint(n)})
		objects = append(objects, u)
	}
	client := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme(), objects...)
	// The fake server does not support streaming lists.
	client.PrependWatchReactor("*",
		func(action clienttesting.Action) (bool, watch.Interface, error) {
			if w := action.(clienttesting.WatchActionImpl); w.ListOptions.SendInitialEvents != nil {
				return true, nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil)
			}
			return false, nil, nil
		})
	options := Options{
		Client:     client,
		Discovery:  podsAndNodes{},
		Authorizer: anywhere(true),
		User:       &user.DefaultInfo{Name: "eyes"},
	}
	if change != nil {
		change(&options)
	}
	k, err := New(t.Context(), options)
	require.NoError(t, err)
	return k, client
}

func caller(policy string) *capabilities.Caller {
	return &capabilities.Caller{
		Policy: policy,
		Resources: []abi.ContextAwareResource{{APIVersion: "v1", Kind: "Pod"},
			{APIVersion: "v1", Kind: "Node"}},
	}
}

// Selectors that depend on the request do not cause more watches or waiting.
func TestABurstOfSelectorsIsOneWatch(t *testing.T) {
	const burst = 220
	k, client := newCluster(t, burst, nil)
	var wait sync.WaitGroup
	responses, errs := make([][]byte, 2*burst), make([]error, 2*burst)
	for n := range burst {
		wait.Go(func() {
			responses[n], errs[n] = k.Call(t.Context(), caller("p"), listAll,
				fmt.Appendf(nil,
					`{"api_version": "v1", "kind": "Pod", "label_selector": "n=%d"}`, n))
		})
		wait.Go(func() {
			responses[burst+n], errs[burst+n] = k.Call(t.Context(), caller("p"), listByNamespace,
				fmt.Appendf(nil,
					`{"api_version": "v1", "kind": "Pod", "namespace": "ns", "field_selector": "metadata.name=pod-%d"}`,
					n))
		})
	}
	wait.Wait()
	require.NoError(t, errors.Join(errs...))
	for n := range burst {
		want := []string{fmt.Sprint("ns/pod-", n)}
		require.Equal(t, want, namesOf(t, responses[n]))
		require.Equal(t, want, namesOf(t, responses[burst+n]))
	}
	require.Len(t, k.caches.reflections, 1)
	require.Len(t, listsOf(client), 1)
}

// Selectors that only the server can apply need their own watches. A policy that uses many of them
// waits, without being blamed for it. Other policies do not wait.
func TestABurstOfWatchesWaits(t *testing.T) {
	k, client := newCluster(t, 1, nil)
	asked := func(policy string, n int) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := k.Call(ctx, caller(policy), listAll,
			fmt.Appendf(nil,
				`{"api_version": "v1", "kind": "Pod", "label_selector": "n=0", "field_selector": "spec.nodeName=%s-%d"}`,
				policy, n))
		return err
	}
	errs := make(chan error)
	for n := range startBurst + 5 {
		go func() { errs <- asked("flood", n) }()
	}
	for range startBurst + 5 {
		require.NoError(t, <-errs, "it waits, and fails not")
	}
	require.Len(t, listsOf(client), startBurst+5)
	require.Empty(t, k.caches.starting)

	// The context ends before this request can be served.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := k.caches.list(ctx, "flood",
		selection{resource: podResource, field: "spec.nodeName=late"}, nil)
	require.ErrorAs(t, err, new(*abi.ShortageError))
	require.EqualError(t, err,
		"the policy asks for too many different lists: the list of v1/Pod must wait, because a policy may start 10 per second: context canceled")
	require.NoError(t, asked("other", 0))
	require.Empty(t, k.caches.starting)
}

// Requests of one policy for the same list share its start. Different policies do not wait for each
// other.
func TestStartsAreShared(t *testing.T) {
	k, client := newCluster(t, 1, nil)
	for range startBurst {
		require.NoError(t, k.caches.turns.wait(t.Context(), "p"))
	}
	errs := make(chan error)
	for range 20 {
		go func() {
			_, err := k.Call(t.Context(), caller("p"), listAll,
				[]byte(`{"api_version": "v1", "kind": "Pod"}`))
			errs <- err
		}()
	}
	for range 20 {
		require.NoError(t, <-errs)
	}
	require.Len(t, listsOf(client), 1)
}

// If the whole list does not fit, the list selected by the server may fit.
func TestListsThatDoNotFitAreSelectedByTheServer(t *testing.T) {
	for _, all := range []anywhere{true, false} {
		k, client := newCluster(t, 100, func(o *Options) {
			o.MemoryBytes, o.Authorizer = 2<<10, all
		})
		for range 2 {
			response, err := k.Call(t.Context(), caller("p"), listByNamespace,
				[]byte(
					`{"api_version": "v1", "kind": "Pod", "namespace": "ns", "label_selector": "n=7"}`))
			require.NoError(t, err)
			require.Equal(t, []string{"ns/pod-7"}, namesOf(t, response))
		}
		_, err := k.Call(t.Context(), caller("p"), listByNamespace,
			[]byte(
				`{"api_version": "v1", "kind": "Pod", "namespace": "ns", "label_selector": "n"}`))
		require.ErrorAs(t, err, new(*tooLargeError))
		require.NotErrorAs(t, err, new(*abi.ShortageError),
			"it is the policy that asks for too much")
		for _, list := range listsOf(client) {
			require.True(t, bool(all) || list == "ns/pods",
				"nothing is watched that may not be seen")
		}
	}
}

// Cached choices do not displace lists.
func TestRememberedChoicesGoBeforeLists(t *testing.T) {
	k, client := newCluster(t, 100, nil)
	choose := func(n int) {
		response, err := k.Call(t.Context(), caller("p"), listAll,
			fmt.Appendf(nil, `{"api_version": "v1", "kind": "Pod", "label_selector": "n!=%d"}`, n))
		require.NoError(t, err)
		require.Len(t, namesOf(t, response), 99)
	}
	choose(0)
	_, err := k.Call(t.Context(), caller("other"), listAll,
		[]byte(`{"api_version": "v1", "kind": "Pod", "field_masks": ["status"]}`))
	require.NoError(t, err)
	k.caches.pool.mu.Lock()
	k.caches.pool.limit = k.caches.pool.bytes + 100
	k.caches.pool.mu.Unlock()
	for n := range 20 {
		choose(n)
	}
	k.caches.pool.mu.Lock()
	defer k.caches.pool.mu.Unlock()
	require.LessOrEqual(t, k.caches.pool.bytes, k.caches.pool.limit)
	require.Len(t, k.caches.pool.occupants, 2, "nobody had to go")
	require.Len(t, listsOf(client), 2)
}

// Without an authorizer, the server decides by the requests that it receives, so each asks for no
// more than necessary.
func TestNoMoreIsAskedForThanTheServerIsToDecide(t *testing.T) {
	k, _ := newCluster(t, 2, func(o *Options) { o.Authorizer = nil })
	response, err := k.Call(t.Context(), caller("p"), listByNamespace,
		[]byte(
			`{"api_version": "v1", "kind": "Pod", "namespace": "ns", "label_selector": "n=1", "field_selector": "metadata.name=pod-1"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"ns/pod-1"}, namesOf(t, response))
	require.Len(t, k.caches.reflections, 1)
	for s := range k.caches.reflections {
		require.Equal(t, [3]string{"ns", "n=1", "metadata.name=pod-1"},
			[3]string{s.namespace, s.label, s.field})
	}
}

// listsOf returns the list requests that reached the server: one for each cache.
func listsOf(client *dynamicfake.FakeDynamicClient) (lists []string) {
	for _, action := range client.Actions() {
		if action.GetVerb() == "list" {
			lists = append(lists, action.GetNamespace()+"/"+action.GetResource().Resource)
		}
	}
	return lists
}
