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

// Package reach tests that a guest reaches the host capabilities that its policy was
// granted and no other, by any host call that it can make: guests of both conventions make
// them through the loader, the border and the gate of a server. What would answer is a
// recorder.
package reach

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// conventions are how guests and host call each other, by the names of guests that make
// the host call that a request asks for.
var conventions = []string{"wapc", "wasi"}

// world is a set of policies that are granted different things, all of one guest.
type world struct {
	policies map[string]*policyset.Policy

	mu sync.Mutex
	// reached are the capabilities that were asked, each with the policy's name before it.
	reached []string
}

// door is a capability that notes who comes.
type door struct {
	*world
	namespace string
}

func (d *door) Call(_ context.Context, caller *capabilities.Caller, operation string, _ []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reached = append(d.reached, caller.Policy+" "+d.namespace+"/"+operation)
	return []byte("welcome"), nil
}

// newWorld loads a policy for each list of grants, by its name.
func newWorld(t *testing.T, convention string, grants map[string]string) *world {
	t.Helper()
	module, err := filepath.Abs("../../bin/callers/" + convention + ".wasm")
	require.NoError(t, err)
	text := "apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\ncircuitBreaker: {failures: 0}\npolicies:\n"
	for name, granted := range grants {
		text += fmt.Sprintf("- {name: %s, module: 'file://%s', hostCapabilities: [%s]}\n", name, module, granted)
	}
	config, err := load.LoadFromData([]byte(text))
	require.NoError(t, err)
	require.Empty(t, validation.ValidateConfiguration(config))
	e, err := engine.New(engine.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })

	w := &world{policies: map[string]*policyset.Policy{}}
	doors := map[string]capabilities.Capability{}
	for _, namespace := range []string{"crypto", "kubernetes", "net", "oci"} {
		doors[namespace] = &door{w, namespace}
	}
	set, errs := (&policyset.Loader{Engine: e, Capabilities: policyset.Capabilities{ByNamespace: doors}}).Load(t.Context(), config)
	require.Empty(t, errs)
	t.Cleanup(set.Close)
	for _, p := range set.Policies() {
		w.policies[p.Name()] = p
	}
	return w
}

// call has a policy make a host call, and returns what it says came of it. The error is
// that of an evaluation that ended.
func (w *world) call(t *testing.T, policy, binding, namespace, operation string) (outcome string, err error) {
	t.Helper()
	request, err := json.Marshal(map[string]any{"object": map[string]any{"binaryData": map[string][]byte{
		"binding": []byte(binding), "namespace": []byte(namespace), "operation": []byte(operation), "payload": []byte("{}"),
	}}})
	require.NoError(t, err)
	response, _, err := w.policies[policy].Evaluate(t.Context(), request)
	if err != nil {
		return "", err
	}
	require.False(t, response.Accepted)
	return response.Message, nil
}

func (w *world) takeReached() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	reached := w.reached
	w.reached = nil
	return reached
}

func notGranted(path string) string {
	return "failed: Policy has not been granted access to the '" + path + "' host capability. The violation has been reported."
}

// patterns are all grants that can be written, and what each covers.
func patterns() map[string]func(path string) bool {
	all := map[string]func(string) bool{
		"":  func(string) bool { return false },
		"*": func(string) bool { return true },
	}
	for _, leaf := range capabilities.Paths() {
		all[leaf] = func(path string) bool { return path == leaf }
		for n := range leaf {
			if group := leaf[:n+1]; strings.HasSuffix(group, "/") {
				all[group+"*"] = func(path string) bool { return strings.HasPrefix(path, group) }
			}
		}
	}
	return all
}

// Every grant against every capability.
func TestGrants(t *testing.T) {
	all, grants, covers := patterns(), map[string]string{}, map[string]func(string) bool{}
	for pattern, f := range all {
		name := fmt.Sprintf("p%d", len(grants))
		covers[name], grants[name] = f, ""
		if pattern != "" {
			grants[name] = "'" + pattern + "'"
		}
	}
	require.Len(t, capabilities.Paths(), 11)
	require.Len(t, grants, 2+11+4+4, "nothing, all, capabilities, namespaces, and versions where they have some")
	for _, convention := range conventions {
		t.Run(convention, func(t *testing.T) {
			w := newWorld(t, convention, grants)
			for policy := range grants {
				for _, path := range capabilities.Paths() {
					namespace, operation, _ := strings.Cut(path, "/")
					outcome, err := w.call(t, policy, "kubewarden", namespace, operation)
					require.NoError(t, err)
					if covers[policy](path) {
						require.Equal(t, "answered: welcome", outcome, "%s: %s", grants[policy], path)
						require.Equal(t, []string{policy + " " + path}, w.takeReached())
						continue
					}
					require.Equal(t, notGranted(path), outcome, "%s: %s", grants[policy], path)
					require.Empty(t, w.takeReached())
				}
				outcome, err := w.call(t, policy, "kubewarden", "tracing", "log")
				require.NoError(t, err)
				require.Equal(t, "answered: ", outcome, "needs no grant")
			}
		})
	}
}

// crafted returns ways to write a name that are not the name.
func crafted(name string) []string {
	return []string{
		"", " ", name + " ", " " + name, "\t" + name, name + "\n", "\ufeff" + name,
		strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:],
		name + "/", "/" + name, "//" + name, name + "//", name + "/.", "./" + name, name + "/..", "../" + name, "x/../" + name,
		"\x00", name + "\x00", "\x00" + name, name + "\x00x", name[:1] + "\x00" + name[1:],
		"*", name + "*", name + "/*", "*/" + name, name + "%2f", name + "%00", name + "\\", name + ";", name + ":", name + "?", name + "#",
		"'" + name + "'", `"` + name + `"`, name + name, name[1:], name[:len(name)-1],
		// Look-alikes: fullwidth letters, Cyrillic е and о, the sign for Kelvin, the long s, a
		// letter with an accent, one that cannot be seen, and another direction of writing.
		fullwidth(name), strings.NewReplacer("e", "\u0435", "o", "\u043e", "c", "\u0441").Replace(name) + "\u200b",
		strings.Replace(name, "k", "\u212a", 1) + "\u2060", strings.Replace(name, "s", "\u017f", 1) + "\u00ad",
		name + "\u0301", name[:1] + "\u200d" + name[1:], "\u202e" + name,
		// Long, and at the limit; no text.
		name + strings.Repeat("x", 1024-len(name)), strings.Repeat("x", 1024), name + strings.Repeat("/", 1024-len(name)),
		name + strings.Repeat("x", 1025-len(name)), strings.Repeat(name+"/", 200),
		"\xff", name + "\xff", name + "\xc0\x80", "\xed\xa0\x80" + name,
	}
}

func fullwidth(name string) string {
	return strings.Map(func(r rune) rune { return r - '!' + '！' }, name)
}

// bindings are what hosts and guests of other conventions know.
var bindings = []string{
	"host", "wapc", "env", "opa", "wasi", "wasi_snapshot_preview1", "kubewarden:javy/host", "kubewarden_host", "kubewarden/kubernetes",
	"default", "tracing", "kubernetes", "system", "*",
}

// elsewhere are namespaces and operations that are not there, or not any more.
var elsewhere = [][2]string{
	{"kubernetes", "ingresses"}, {"kubernetes", "namespaces"}, {"kubernetes", "services"}, {"kubernetes", "get_resource_plural_name"},
	{"kubernetes", "has_list_resources_all_result_changed_since_instant"}, {"kubernetes", "v1/get_resource"}, {"kubernetes", "get_resources"},
	{"oci", "verify"}, {"oci", "v3/verify"}, {"oci", "v2/manifest_digest"}, {"oci", "v1"}, {"net", "dns_lookup_host"}, {"net", "v2/dns_lookup_host"},
	{"crypto", "is_certificate_trusted"}, {"crypto", "v1"}, {"cache", "get"}, {"cache", "set"}, {"kubewarden", "kubernetes"},
	{"tracing", ""}, {"tracing", "Log"}, {"tracing", "log/../../kubernetes/can_i"}, {"tracing/log", ""}, {"tracing", "kubernetes/get_resource"},
	{"", "kubernetes/get_resource"}, {"", ""}, {"kubernetes/get_resource", ""}, {"env", "opa_println"},
}

// requireUnreached makes a host call that must lead nowhere, whatever is granted, and
// checks that the guest is told why.
func (w *world) requireUnreached(t *testing.T, policy string, all bool, binding, namespace, operation string) {
	t.Helper()
	outcome, err := w.call(t, policy, binding, namespace, operation)
	what := fmt.Sprintf("%.80q %.80q %.80q: %.200s", binding, namespace, operation, outcome)
	require.Empty(t, w.takeReached(), what)
	for _, name := range []string{binding, namespace, operation} {
		switch {
		case len(name) > 1024:
			require.ErrorContains(t, err, "at most 1024 are allowed", what)
			return
		case strings.ToValidUTF8(name, "") != name:
			require.ErrorContains(t, err, "is not UTF-8", what)
			return
		}
	}
	require.NoError(t, err, what)
	switch path := namespace + "/" + operation; {
	case binding != "kubewarden":
		require.Equal(t, "failed: unknown binding: "+binding, outcome)
	case namespace == "tracing":
		require.Equal(t, "failed: unknown operation: "+operation, outcome)
	case !all:
		require.Equal(t, notGranted(path), outcome)
	default:
		require.Contains(t, []string{"failed: unknown namespace: " + namespace, "failed: unknown operation: " + operation}, outcome, what)
	}
}

// Nothing is reached by a name that is not the name, whether nothing or everything is
// granted.
func TestCraftedNames(t *testing.T) {
	for _, convention := range conventions {
		t.Run(convention, func(t *testing.T) {
			w := newWorld(t, convention, map[string]string{"none": "", "all": "'*'"})
			for policy, all := range map[string]bool{"none": false, "all": true} {
				try := func(binding, namespace, operation string) {
					t.Helper()
					w.requireUnreached(t, policy, all, binding, namespace, operation)
				}
				for _, binding := range append(crafted("kubewarden"), bindings...) {
					try(binding, "kubernetes", "get_resource")
					try(binding, "tracing", "log")
				}
				for _, call := range elsewhere {
					try("kubewarden", call[0], call[1])
				}
				for _, namespace := range crafted("tracing") {
					try("kubewarden", namespace, "log")
				}
				for _, operation := range crafted("log") {
					try("kubewarden", "tracing", operation)
				}
				for _, path := range capabilities.Paths() {
					namespace, operation, _ := strings.Cut(path, "/")
					for _, name := range crafted(namespace) {
						try("kubewarden", name, operation)
					}
					for _, name := range crafted(operation) {
						try("kubewarden", namespace, name)
					}
					// The border between the two moves.
					for n := range path {
						try("kubewarden", path[:n], path[n:])
						if path[n] == '/' && path[:n] != namespace {
							try("kubewarden", path[:n], path[n+1:])
						}
					}
				}
			}
		})
	}
}
