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

package contextaware

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// notes is a recorder that tests can query.
type notes struct {
	mu    sync.Mutex
	count int
	bytes int64
	stops map[string]int
	looks map[string]int
}

func newNotes() *notes { return &notes{stops: map[string]int{}, looks: map[string]int{}} }

func (n *notes) CountLook(operation, result string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.looks[operation+" "+result]++
}

func (n *notes) SetCaches(count int, bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count, n.bytes = count, bytes
}

func (n *notes) CountCacheStop(reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stops[reason]++
}

func (n *notes) stopped(reason string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stops[reason]
}

func (n *notes) caches() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count
}

func TestUnusedCachesStop(t *testing.T) {
	o, recorder, clock := options(), newNotes(), clocktesting.NewFakeClock(time.Now())
	o.Recorder, o.Clock, o.IdleTimeout = recorder, clock, time.Minute
	l := newLooker(t, o, configMaps, namespaces)
	list := `{"api_version": "v1", "kind": "ConfigMap"}`
	before := l.names(t, "list_resources_all", list)
	l.names(t, "list_resources_all", `{"api_version": "v1", "kind": "Namespace"}`)
	require.Equal(t, 2, recorder.caches())
	clock.Step(50 * time.Second)
	l.names(t, "list_resources_all", list)
	clock.Step(20 * time.Second)
	eventually(t, func() bool { return recorder.caches() == 1 }, "the unused cache must stop")
	clock.Step(2 * time.Minute)
	eventually(t, func() bool { return recorder.caches() == 0 && recorder.stopped("idle") == 2 },
		"the other cache must stop")
	require.Zero(t, recorder.bytes)
	require.Subset(t, l.names(t, "list_resources_all", list), before, "the cache must start again")
	require.Equal(t, 2, recorder.looks["list_resources_all cached"]+
		recorder.looks["list_resources_all asked"]-2)
}

// fill creates objects of a given size.
func fill(t *testing.T, namespace string, count, bytes int) {
	t.Helper()
	for n := range count {
		_, err := server.Clientset().CoreV1().ConfigMaps(namespace).
			Create(t.Context(), &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("fill-", n)},
				Data:       map[string]string{"x": strings.Repeat("x", bytes)}},
				metav1.CreateOptions{})
		require.NoError(t, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	first, second, large := newNamespace(t, nil), newNamespace(t, nil), newNamespace(t, nil)
	fill(t, first, 4, 100<<10)
	fill(t, second, 4, 100<<10)
	fill(t, large, 20, 100<<10)
	o, recorder := options(), newNotes()
	o.MemoryBytes, o.Recorder = 700<<10, recorder
	l := newLooker(t, o, configMaps, namespaces)
	list :=
		`{"api_version": "v1", "kind": "ConfigMap", "field_selector": "metadata.namespace=%s", "field_masks": %s}`

	require.Len(t, l.names(t, "list_resources_all", fmt.Sprintf(list, first, "[]")), 4)
	require.LessOrEqual(t, recorder.bytes, o.MemoryBytes)
	require.Len(t, l.names(t, "list_resources_all", fmt.Sprintf(list, second, "[]")), 4,
		"the first list must be evicted")
	require.Equal(t, 1, recorder.stopped("evicted"))
	require.LessOrEqual(t, recorder.bytes, o.MemoryBytes)
	require.Equal(t, 1, recorder.stopped("too_large"), "the list of all namespaces must be tried only once")

	_, err := l.call(t, "list_resources_all", fmt.Sprintf(list, large, "[]"))
	require.EqualError(t, err,
		"Callback evaluation failure: the list of v1/ConfigMap does not fit into the memory for what policies read of the cluster, 716800 bytes: "+
			"raise that limit, or have the policy ask for less with field masks, selectors or a namespace")
	require.Equal(t, 2, recorder.stopped("too_large"))
	require.Len(t, l.names(t, "list_resources_all", fmt.Sprintf(list, large, `["kind"]`)), 20,
		"the remedy in the error must work")

	// The list of all namespaces is too large, but the list of one namespace is not.
	require.Len(t,
		l.names(t, "list_resources_by_namespace",
			fmt.Sprintf(`{"api_version": "v1", "kind": "ConfigMap", "namespace": %q}`, first)), 4)

	_, _, err = l.Inventory(&l.caller).Inventory(t.Context(), abi.ExecutionModeOPA)
	require.ErrorContains(t, err,
		"does not fit into the memory for what policies read of the cluster")
}

// A list that grows too large is refused from then on.
func TestListsThatGrowAreBounded(t *testing.T) {
	ns := newNamespace(t, nil)
	o, recorder := options(), newNotes()
	o.MemoryBytes, o.Recorder = 300<<10, recorder
	l := newLooker(t, o, configMaps)
	list := fmt.Sprintf(
		`{"api_version": "v1", "kind": "ConfigMap", "field_selector": "metadata.namespace=%s"}`, ns)
	require.Empty(t, l.names(t, "list_resources_all", list))
	fill(t, ns, 5, 100<<10)
	eventually(t, func() bool {
		_, err := l.call(t, "list_resources_all", list)
		return err != nil && strings.Contains(err.Error(), "does not fit")
	}, "refused")
}

var (
	crds = schema.GroupVersionResource{
		Group:    "apiextensions.k8s.io",
		Version:  "v1",
		Resource: "customresourcedefinitions",
	}
	widgets = schema.GroupVersionResource{
		Group:    "example.com",
		Version:  "v1",
		Resource: "widgets",
	}
	widgetKind = abi.ContextAwareResource{APIVersion: "example.com/v1", Kind: "Widget"}
)

// createWidgets creates a custom resource definition and an object.
func createWidgets(t *testing.T, scope string) {
	t.Helper()
	_, err := server.Dynamic().Resource(crds).
		Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
			"metadata": map[string]any{"name": "widgets.example.com"},
			"spec": map[string]any{
				"group": "example.com", "scope": scope,
				"names": map[string]any{"plural": "widgets", "kind": "Widget"},
				"versions": []any{
					map[string]any{
						"name":    "v1",
						"served":  true,
						"storage": true,
						"schema": map[string]any{
							"openAPIV3Schema": map[string]any{"type": "object"},
						},
					},
				},
			},
		}}, metav1.CreateOptions{})
	require.NoError(t, err)
	widget := &unstructured.Unstructured{
		Object: map[string]any{
			"apiVersion": "example.com/v1",
			"kind":       "Widget",
			"metadata":   map[string]any{"name": "w"},
		},
	}
	var client dynamic.ResourceInterface = server.Dynamic().Resource(widgets)
	if scope == "Namespaced" {
		client = server.Dynamic().Resource(widgets).Namespace("default")
	}
	eventually(t, func() bool {
		_, err := client.Create(t.Context(), widget, metav1.CreateOptions{})
		return err == nil
	}, "the resource must be served")
}

func deleteWidgets(t *testing.T) {
	t.Helper()
	require.NoError(t,
		server.Dynamic().Resource(crds).Delete(t.Context(), "widgets.example.com",
			metav1.DeleteOptions{}))
}

func TestCustomResourcesComeAndGo(t *testing.T) {
	l := newLooker(t, options(), widgetKind)
	list, get := `{"api_version": "example.com/v1", "kind": "Widget"}`,
		`{"api_version": "example.com/v1", "kind": "Widget", "name": "w", "disable_cache": true}`
	const missing = "Callback evaluation failure: Cannot find resource example.com/v1/Widget"
	for _, operation := range []string{"list_resources_all", "get_resource"} {
		_, err := l.call(t, operation, get)
		require.EqualError(t, err, missing)
	}
	found := func(want ...string) func() bool {
		return func() bool {
			answer, err := l.call(t, "list_resources_all", list)
			return err == nil && strings.Count(string(answer), `"kind":"Widget"`) == len(want) &&
				strings.Contains(string(answer), strings.Join(want, ""))
		}
	}
	gone := func() bool {
		_, err := l.call(t, "list_resources_all", list)
		return err != nil && strings.HasSuffix(err.Error(), missing)
	}
	createWidgets(t, "Cluster")
	eventually(t, found("w"), "it came")
	require.Equal(t, "w", l.get(t, get).GetName())
	deleteWidgets(t)
	eventually(t, gone, "it went")
	createWidgets(t, "Namespaced")
	eventually(t, found(`"namespace":"default","name":"w"`), "the resource must return as a namespaced one")
	eventually(t, func() bool {
		_, err := l.call(t, "get_resource", get)
		return err != nil &&
			err.Error() == "Callback evaluation failure: Resource example.com/v1/Widget is namespaced, but no namespace was provided"
	}, "the new scope must be known")
	deleteWidgets(t)
	eventually(t, gone, "the resource must be gone again")
}

// If the server does not respond or does not exist, a call ends at its deadline.
func TestNothingWaitsForAServerThatIsNotReady(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(release) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())

	for name, host := range map[string]string{
		"hanging": hanging.URL,
		"absent":  "http://" + listener.Addr().String(),
	} {
		t.Run(name, func(t *testing.T) {
			config := &rest.Config{Host: host}
			o := options()
			o.Client = dynamic.NewForConfigOrDie(config)
			for _, broken := range []string{"discovery", "lists"} {
				if broken == "discovery" {
					o.Discovery = discovery.NewDiscoveryClientForConfigOrDie(config)
				} else {
					o.Discovery = server.Clientset().DiscoveryClient
				}
				l := newLooker(t, o, configMaps)
				for operation, payload := range map[string]string{
					"list_resources_all": `{"api_version": "v1", "kind": "ConfigMap"}`,
					"get_resource":       `{"api_version": "v1", "kind": "ConfigMap", "name": "x", "namespace": "default"}`,
				} {
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					begin := time.Now()
					_, err := l.Call(ctx, &l.caller, operation, []byte(payload))
					cancel()
					require.Error(t, err, broken)
					require.Less(t, time.Since(begin), 5*time.Second, broken)
				}
			}
		})
	}
}
