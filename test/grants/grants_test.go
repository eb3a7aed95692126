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

// Package grants tests that no host call reaches a host capability that the guest's policy was not
// granted. Guests of both calling conventions make the host calls through a server's loader, ABI
// and gate. Instead of the real capabilities, a recorder answers.
package grants

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// conventions are the calling conventions. For each there is a guest of this name, which makes the
// host call that the request asks for.
var conventions = []string{"wapc", "wasi"}

// world is a set of policies with the same guest and different grants.
type world struct {
	policies map[string]*policyset.Policy

	mu sync.Mutex
	// reached are the capabilities that were called, each preceded by the policy's name.
	reached []string
}

// door is a capability that records its callers.
type door struct {
	*world
	namespace string
}

func (d *door) Call(_ context.Context, caller *capabilities.Caller, operation string,
	_ []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reached = append(d.reached, caller.Policy+" "+d.namespace+"/"+operation)
	return []byte("welcome"), nil
}

// newWorld loads one policy for each list of grants. The keys are the policies' names.
func newWorld(t *testing.T, convention string, grants map[string]string) *world {
	t.Helper()
	module, err := filepath.Abs("../../bin/callers/" + convention + ".wasm")
	require.NoError(t, err)
	text :=
		"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\ncircuitBreaker: {failures: 0}\npolicies:\n"
	for name, granted := range grants {
		text += fmt.Sprintf("- {name: %s, module: 'file://%s', hostCapabilities: [%s]}\n", name,
			module, granted)
	}
	config, err := load.LoadFromData([]byte(text))
	require.NoError(t, err)
	require.Empty(t, validation.ValidateConfiguration(config))
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })

	w := &world{policies: map[string]*policyset.Policy{}}
	doors := map[string]capabilities.Capability{}
	for _, namespace := range []string{"crypto", "kubernetes", "net", "oci"} {
		doors[namespace] = &door{w, namespace}
	}
	set, errs := (&policyset.Loader{
		Engine:       e,
		Capabilities: policyset.Capabilities{ByNamespace: doors},
	}).Load(t.Context(), config)
	require.Empty(t, errs)
	t.Cleanup(set.Close)
	for _, p := range set.Policies() {
		w.policies[p.Name()] = p
	}
	return w
}

// address is the target of a host call.
type address struct{ binding, namespace, operation string }

// call makes a policy make host calls, and returns the outcomes that the policy reports. The error
// is set if the evaluation was aborted.
func (w *world) call(t *testing.T, policy string, to ...address) (outcomes []string, err error) {
	t.Helper()
	var calls []map[string][]byte
	for _, a := range to {
		calls = append(calls, map[string][]byte{
			"binding": []byte(a.binding), "namespace": []byte(a.namespace),
			"operation": []byte(a.operation), "payload": []byte("{}"),
		})
	}
	request, err := json.Marshal(map[string]any{"object": map[string]any{"calls": calls}})
	require.NoError(t, err)
	response, _, err := w.policies[policy].Evaluate(t.Context(), request)
	if err != nil {
		return nil, err
	}
	require.False(t, response.Accepted)
	require.NoError(t, json.Unmarshal([]byte(response.Message), &outcomes), response.Message)
	require.Len(t, outcomes, len(to))
	return outcomes, nil
}

func (w *world) takeReached() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	reached := w.reached
	w.reached = nil
	return reached
}

func notGranted(path string) string {
	return "failed: Policy has not been granted access to the '" + path +
		"' host capability. The violation has been reported."
}

// patterns returns all valid grants, and which paths each covers.
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

// Policies reach by host calls what they were granted, and nothing else.
func TestReach(t *testing.T) {
	for _, convention := range conventions {
		t.Run(convention, func(t *testing.T) {
			grants := map[string]string{}
			for pattern := range patterns() {
				grants[named(pattern)] = quoted(pattern)
			}
			w := newWorld(t, convention, grants)
			t.Run("grants", func(t *testing.T) { checkGrants(t, w) })
			t.Run("crafted names", func(t *testing.T) { checkCraftedNames(t, w) })
		})
	}
}

// named returns the name of the policy with a grant.
func named(pattern string) string {
	return "granted-" +
		strings.NewReplacer("/", ".", "_", "-", "*", "all").Replace(cmp.Or(pattern, "nothing"))
}

func quoted(pattern string) string {
	if pattern == "" {
		return ""
	}
	return "'" + pattern + "'"
}

// checkGrants tries every grant against every capability.
func checkGrants(t *testing.T, w *world) {
	t.Helper()
	require.Len(t, capabilities.Paths(), 11)
	require.Len(t, w.policies, 2+11+4+4,
		"no grant, all, capabilities, namespaces, and versions where there are any")
	for pattern, covers := range patterns() {
		calls := []address{{"kubewarden", "tracing", "log"}}
		want, reached := []string{"answered: "}, []string(nil) // needs no grant
		for _, path := range capabilities.Paths() {
			namespace, operation, _ := strings.Cut(path, "/")
			calls = append(calls, address{"kubewarden", namespace, operation})
			if covers(path) {
				want, reached = append(want, "answered: welcome"),
					append(reached, named(pattern)+" "+path)
			} else {
				want = append(want, notGranted(path))
			}
		}
		outcomes, err := w.call(t, named(pattern), calls...)
		require.NoError(t, err)
		require.Equal(t, want, outcomes, pattern)
		require.Equal(t, reached, w.takeReached(), pattern)
	}
}

// crafted returns names that resemble a name but differ from it.
func crafted(name string) []string {
	return []string{
		"", " ", name + " ", " " + name, "\t" + name, name + "\n", "\ufeff" + name,
		strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:],
		name + "/", "/" + name, "//" + name, name + "//", name + "/.", "./" + name, name + "/..",
		"../" + name, "x/../" + name,
		"\x00", name + "\x00", "\x00" + name, name + "\x00x", name[:1] + "\x00" + name[1:],
		"*", name + "*", name + "/*", "*/" + name, name + "%2f", name + "%00", name + "\\",
		name + ";", name + ":", name + "?", name + "#",
		"'" + name + "'", `"` + name + `"`, name + name, name[1:], name[:len(name)-1],
		// Look-alikes: fullwidth letters, Cyrillic е and о, the Kelvin sign, the long s, an
		// accented letter, an invisible character, and a right-to-left override.
		fullwidth(name), strings.NewReplacer("e", "\u0435", "o", "\u043e", "c", "\u0441").
			Replace(name) + "\u200b",
		strings.Replace(name, "k", "\u212a", 1) + "\u2060",
		strings.Replace(name, "s", "\u017f", 1) + "\u00ad",
		name + "\u0301", name[:1] + "\u200d" + name[1:], "\u202e" + name,
		// Long names, names at the limit, and names that are not UTF-8.
		name + strings.Repeat("x", 1024-len(name)), strings.Repeat("x", 1024),
		name + strings.Repeat("/", 1024-len(name)),
		name + strings.Repeat("x", 1025-len(name)), strings.Repeat(name+"/", 200),
		"\xff", name + "\xff", name + "\xc0\x80", "\xed\xa0\x80" + name,
	}
}

func fullwidth(name string) string {
	return strings.Map(func(r rune) rune { return r - '!' + '！' }, name)
}

// bindings are the bindings of other hosts and calling conventions.
var bindings = []string{
	"host", "wapc", "env", "opa", "wasi", "wasi_snapshot_preview1", "kubewarden:javy/host",
	"kubewarden_host", "kubewarden/kubernetes",
	"default", "tracing", "kubernetes", "system", "*",
}

// elsewhere are namespaces and operations that do not exist, or no longer exist.
var elsewhere = [][2]string{
	{"kubernetes", "ingresses"}, {"kubernetes", "namespaces"}, {"kubernetes", "services"},
	{"kubernetes", "get_resource_plural_name"},
	{"kubernetes", "has_list_resources_all_result_changed_since_instant"},
	{"kubernetes", "v1/get_resource"}, {"kubernetes", "get_resources"},
	{"oci", "verify"}, {"oci", "v3/verify"}, {"oci", "v2/manifest_digest"}, {"oci", "v1"},
	{"net", "dns_lookup_host"}, {"net", "v2/dns_lookup_host"},
	{"crypto", "is_certificate_trusted"}, {"crypto", "v1"}, {"cache", "get"}, {"cache", "set"},
	{"kubewarden", "kubernetes"},
	{"tracing", ""}, {"tracing", "Log"}, {"tracing", "log/../../kubernetes/can_i"},
	{"tracing/log", ""}, {"tracing", "kubernetes/get_resource"},
	{"", "kubernetes/get_resource"}, {"", ""}, {"kubernetes/get_resource", ""},
	{"env", "opa_println"},
}

// misses returns host calls that must reach nothing, whatever the grants.
func misses() (calls []address) {
	try := func(binding, namespace, operation string) {
		calls = append(calls, address{binding, namespace, operation})
	}
	for _, binding := range append(crafted("kubewarden"), bindings...) {
		try(binding, "kubernetes", "get_resource")
		try(binding, "tracing", "log")
	}
	for _, call := range elsewhere {
		try("kubewarden", call[0], call[1])
	}
	for _, path := range append(capabilities.Paths(), "tracing/log") {
		namespace, operation, _ := strings.Cut(path, "/")
		for _, name := range crafted(namespace) {
			try("kubewarden", name, operation)
		}
		for _, name := range crafted(operation) {
			try("kubewarden", namespace, name)
		}
		// Split the path between namespace and operation at every position.
		for n := range path {
			try("kubewarden", path[:n], path[n:])
			if path[n] == '/' && path[:n] != namespace {
				try("kubewarden", path[:n], path[n+1:])
			}
		}
	}
	return calls
}

// ends returns the error with which a call aborts the evaluation. It is empty if the call does not.
func (a *address) ends() string {
	for _, name := range []string{a.binding, a.namespace, a.operation} {
		switch {
		case len(name) > 1024:
			return "at most 1024 are allowed"
		case !utf8.ValidString(name):
			return "is not UTF-8"
		}
	}
	return ""
}

// requireRefused checks that the guest is told why its call was refused.
func (a *address) requireRefused(t *testing.T, all bool, outcome string) {
	t.Helper()
	switch {
	case a.binding != "kubewarden":
		require.Equal(t, "failed: unknown binding: "+a.binding, outcome)
	case a.namespace == "tracing":
		require.Equal(t, "failed: unknown operation: "+a.operation, outcome)
	case !all:
		require.Equal(t, notGranted(a.namespace+"/"+a.operation), outcome)
	default:
		require.Contains(t, []string{
			"failed: unknown namespace: " + a.namespace, "failed: unknown operation: " +
				a.operation,
		}, outcome, "%q", *a)
	}
}

// checkCraftedNames checks that a crafted name reaches nothing, whatever the grants.
func checkCraftedNames(t *testing.T, w *world) {
	t.Helper()
	var calls, ending []address
	for _, call := range misses() {
		if call.ends() == "" {
			calls = append(calls, call)
		} else {
			ending = append(ending, call)
		}
	}
	require.Greater(t, len(calls), 1500)
	require.Greater(t, len(ending), 100)
	for pattern, all := range map[string]bool{"": false, "*": true} {
		for some := range slices.Chunk(calls, 100) {
			outcomes, err := w.call(t, named(pattern), some...)
			require.NoError(t, err)
			require.Empty(t, w.takeReached())
			for n, outcome := range outcomes {
				some[n].requireRefused(t, all, outcome)
			}
		}
	}
	for _, call := range ending {
		_, err := w.call(t, named("*"), call)
		require.ErrorContains(t, err, call.ends())
		require.Empty(t, w.takeReached(), "%q", call)
	}
}
