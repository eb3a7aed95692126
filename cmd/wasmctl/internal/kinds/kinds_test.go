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

package kinds

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
)

// The methods of the Kubernetes client show which kinds are namespaced: their interfaces need a
// namespace.
func TestClusterWide(t *testing.T) {
	clients, checked := reflect.TypeFor[kubernetes.Interface](), 0
	for n := range clients.NumMethod() {
		group := clients.Method(n)
		if group.Type.NumIn() != 0 || group.Type.NumOut() != 1 ||
			group.Type.Out(0).Kind() != reflect.Interface {
			continue
		}
		for m := range group.Type.Out(0).NumMethod() {
			getter := group.Type.Out(0).Method(m)
			if getter.Type.NumOut() != 1 ||
				!strings.HasSuffix(getter.Type.Out(0).Name(), "Interface") ||
				group.Name == "Discovery" || getter.Name == "RESTClient" {
				continue
			}
			kind := strings.TrimSuffix(getter.Type.Out(0).Name(), "Interface")
			require.Equal(t, getter.Type.NumIn() == 0, clusterWide.Has(kind), "%s of %s", kind,
				group.Name)
			checked++
		}
	}
	require.Greater(t, checked, 100)
	for kind := range clusterWide {
		if kind != "APIService" {
			require.True(t, known(kind), "%s is no kind of Kubernetes", kind)
		}
	}
}

func known(kind string) bool {
	for _, version := range scheme.Scheme.PrioritizedVersionsAllGroups() {
		if scheme.Scheme.Recognizes(version.WithKind(kind)) {
			return true
		}
	}
	return false
}

func TestBuiltin(t *testing.T) {
	for kind, want := range map[schema.GroupVersionKind]review.Resource{
		{
			Version: "v1", Kind: "Pod",
		}: {Plural: "pods", Namespaced: true},
		{
			Version: "v1", Kind: "Endpoints",
		}: {Plural: "endpoints", Namespaced: true},
		{
			Version: "v1", Kind: "Namespace",
		}: {Plural: "namespaces"},
		{
			Group: "networking.k8s.io", Version: "v1", Kind: "Ingress",
		}: {Plural: "ingresses", Namespaced: true},
		{
			Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy",
		}: {Plural: "networkpolicies", Namespaced: true},
		{
			Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole",
		}: {Plural: "clusterroles"},
		{
			Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass",
		}: {Plural: "storageclasses"},
		{
			Group: "admissionregistration.k8s.io", Version: "v1",
			Kind: "MutatingWebhookConfiguration",
		}: {Plural: "mutatingwebhookconfigurations"},
	} {
		got, known := Builtin(kind)
		require.True(t, known)
		require.Equal(t, want, got, "%s", kind)
	}
	_, isKnown := Builtin(schema.GroupVersionKind{
		Group:   "example.com",
		Version: "v1",
		Kind:    "Widget",
	})
	require.False(t, isKnown)
}

// cluster serves the given answers, and returns a kubeconfig for it.
func cluster(t *testing.T, answers map[string]string) (kubeconfig string, stop func()) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, there := answers[r.URL.Path]
		if !there {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(kubeconfig, []byte(`apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "`+server.URL+`"}}]
contexts: [{name: a, context: {cluster: a}}]
current-context: a
`), 0o600))
	return kubeconfig, server.Close
}

// A cluster is asked for other kinds, and its answers are cached.
func TestFind(t *testing.T) {
	kubeconfig, stop := cluster(t, map[string]string{
		"/api":                 `{"kind": "APIVersions", "versions": []}`,
		"/apis":                `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "example.com", "versions": [{"groupVersion": "example.com/v1", "version": "v1"}], "preferredVersion": {"groupVersion": "example.com/v1", "version": "v1"}}]}`,
		"/apis/example.com/v1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.com/v1", "resources": [{"name": "oxen", "kind": "Ox", "namespaced": true, "verbs": ["create"]}, {"name": "herds", "kind": "Herd", "namespaced": false, "verbs": ["create"]}]}`,
	})
	options := Options{Kubeconfig: kubeconfig, CacheDirectory: t.TempDir()}
	version := schema.GroupVersion{Group: "example.com", Version: "v1"}
	find := func(kind string) (review.Resource, error) {
		return options.Find(t.Context(), version.WithKind(kind))
	}

	got, err := find("Ox")
	require.NoError(t, err)
	require.Equal(t, review.Resource{Plural: "oxen", Namespaced: true}, got)
	got, err = find("Widget")
	require.ErrorContains(t, err, "has no kind Widget of example.com/v1")
	require.Equal(t, review.Resource{Plural: "widgets"}, got)

	stop()
	got, err = find("Herd")
	require.NoError(t, err)
	require.Equal(t, review.Resource{Plural: "herds"}, got)
	_, err = (&Options{Kubeconfig: kubeconfig, CacheDirectory: t.TempDir()}).Find(t.Context(),
		version.WithKind("Ox"))
	require.Error(t, err)
}

func TestFindWithoutACluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	got, err := (&Options{CacheDirectory: t.TempDir()}).Find(t.Context(),
		schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"})
	require.ErrorContains(t, err, "there is no usable kubeconfig")
	require.Equal(t, review.Resource{Plural: "widgets"}, got)
	kubeconfig, _ := cluster(t, nil)
	_, err = (&Options{Kubeconfig: kubeconfig}).Find(t.Context(),
		schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Ox"})
	require.ErrorContains(t, err, "--cache-directory")
}
