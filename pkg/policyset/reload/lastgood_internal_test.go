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

package reload

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// keptWorkspace returns a workspace whose manager has served a set and kept it.
func keptWorkspace(t *testing.T) *workspace {
	t.Helper()
	w := newWorkspace(t, keepLastGood)
	w.manifest("a", "accept", `{"text":"<&>"}`)
	w.manifest("b", "deny", `{}`)
	require.NoError(t, w.manager.Start(t.Context()))
	require.Equal(t, 1, w.notes.saves[resultSucceeded])
	return w
}

// keptModules returns the names of the modules in the state directory.
func (w *workspace) keptModules() []string {
	files, err := filepath.Glob(w.path("state", "last-good", "modules", "*"))
	require.NoError(w, err)
	return files
}

func TestRestartOnWhatWasKept(t *testing.T) {
	for name, spoil := range map[string]func(w *workspace){
		"the directory is gone": func(w *workspace) {
			require.NoError(w, os.RemoveAll(w.path("policies.d")))
		},
		"the modules are gone": func(w *workspace) {
			require.NoError(w, os.Remove(w.path("accept.wasm")))
		},
		"a manifest is half a one": func(w *workspace) { w.file("a.json", `{"Policies": [`) },
		"a policy refuses its settings": func(w *workspace) {
			w.manifest("a", "settings-refused", `{}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := keptWorkspace(t)
			before := w.notes.sets["running"]
			spoil(w)
			w.restart(keepLastGood)
			require.NoError(t, w.manager.Start(t.Context()))
			w.requireServed(`a {"text":"<&>"}`, `b {}`)
			w.requireBad("a set that an earlier process kept is served")
			require.Equal(t, before, w.notes.sets["running"])
			require.True(t, w.manager.Status().Kept)

			// After the repair, the desired set is the one that is served.
			require.NoError(t, os.MkdirAll(w.path("policies.d"), 0o700))
			w.module("accept", "accept")
			w.manifest("a", "accept", `{"text":"<&>"}`)
			w.manifest("b", "deny", `{}`)
			w.takeOver()
			w.requireGood()
			require.False(t, w.manager.Status().Kept)
		})
	}
}

// Groups and namespaced policies come only from manifests, and are kept too.
func TestAllKindsAreKept(t *testing.T) {
	const rules = `"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]`
	w := newWorkspace(t, keepLastGood)
	module := "file://" + w.path("accept.wasm")
	w.file("namespaced.json",
		`{"apiVersion": "policies.kubewarden.io/v1", "kind": "AdmissionPolicy", "metadata": {"name": "p", "namespace": "ns"},
		"spec": {"module": "`+module+`", "settings": {}, "mutating": false, `+rules+`}}`)
	w.file("group.json",
		`{"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicyGroup", "metadata": {"name": "g"},
		"spec": {"expression": "a() && b()", "message": "no", "policies": {"a": {"module": "`+module+`"}, "b": {"module": "file://`+w.path("deny.wasm")+`"}}, `+rules+`}}`)
	require.NoError(t, w.manager.Start(t.Context()))
	names := func() (names []string) {
		for _, p := range w.served.Policies() {
			names = append(names, p.Name())
		}
		return names
	}
	before := names()
	require.Len(t, before, 2)
	require.Equal(t, 1, w.notes.saves[resultSucceeded])

	t.Log("a member's module changes")
	served := w.served
	w.module("deny", "settings-refused")
	w.takeOver()
	w.requireBad("settings-refused.wat takes no settings")
	require.Same(t, served, w.served)

	w.restart(keepLastGood)
	require.NoError(t, w.manager.Start(t.Context()))
	require.Equal(t, before, names())
	require.True(t, w.manager.Status().Kept)
	response, _, err := w.served.Policies()[0].Evaluate(t.Context(), []byte("{}"))
	require.NoError(t, err)
	require.False(t, response.Accepted)

	w.module("deny", "accept")
	w.takeOver()
	w.requireGood()
	response, _, err = w.served.Policies()[0].Evaluate(t.Context(), []byte("{}"))
	require.NoError(t, err)
	require.True(t, response.Accepted)
}

func TestOnlyANewerGoodSetReplacesTheKeptOne(t *testing.T) {
	w := keptWorkspace(t)
	require.Len(t, w.keptModules(), 2)
	w.file("a.json", `{`)
	w.takeOver()
	w.requireBad("a.json: ")
	require.NoError(t, os.Remove(w.path("policies.d", "b.json")))
	w.manifest("a", "accept", `{"n":2}`)
	w.takeOver()
	w.requireGood()
	require.Len(t, w.keptModules(), 1, "what the set does not name is removed")
	w.file("a.json", `{`)
	w.takeOver()

	w.restart(keepLastGood)
	require.NoError(t, w.manager.Start(t.Context()))
	w.requireServed(`a {"n":2}`)
}

func TestWithoutTheOptionABadStartIsRefused(t *testing.T) {
	w := keptWorkspace(t)
	w.file("a.json", `{`)
	w.restart()
	require.ErrorContains(t, w.manager.Start(t.Context()), "a.json: ")
}

func TestKeptSetsAreChecked(t *testing.T) {
	const kept = "state/last-good/policies.json"
	change := func(w *workspace, path string) {
		content, err := os.ReadFile(path)
		require.NoError(w, err)
		content[len(content)-2] ^= 1
		require.NoError(w, os.WriteFile(path, content, 0o600))
	}
	for name, test := range map[string]struct {
		spoil  func(w *workspace)
		reason string
	}{
		"nothing was kept": {func(w *workspace) {
			require.NoError(w, os.Remove(w.path(kept)))
		}, "no such file"},
		"the record is changed": {func(w *workspace) { change(w, w.path(kept)) }, "is damaged"},
		"the record is cut off": {func(w *workspace) {
			require.NoError(w, os.Truncate(w.path(kept), 10))
		}, "is damaged"},
		"the record is empty": {func(w *workspace) {
			require.NoError(w, os.Truncate(w.path(kept), 0))
		}, "is damaged"},
		"the record is readable": {func(w *workspace) {
			require.NoError(w, os.Chmod(w.path(kept), 0o644))
		}, "has mode 0644"},
		"a module is changed": {func(w *workspace) { change(w, w.keptModules()[0]) },
			"is damaged"},
		"a module is gone": {func(w *workspace) {
			require.NoError(w, os.Remove(w.keptModules()[1]))
		}, "no such file"},
		"a module is a link": {func(w *workspace) {
			module := w.keptModules()[0]
			require.NoError(w, os.Rename(module, w.path("moved")))
			require.NoError(w, os.Symlink(w.path("moved"), module))
		}, "too many levels of symbolic links"},
		"the record is of another version": {func(w *workspace) {
			record := []byte(`{"Hash": "x", "NewField": 1}`)
			require.NoError(w,
				os.WriteFile(w.path(kept), append([]byte(sumLine(record)), record...), 0o600))
		}, `unknown field "NewField"`},
		"the record is not valid": {func(w *workspace) {
			record := []byte(`{"Hash": "x", "Policies": [{"Name": "NOT A NAME"}]}`)
			require.NoError(w,
				os.WriteFile(w.path(kept), append([]byte(sumLine(record)), record...), 0o600))
		}, "policies[NOT A NAME].name: "},
	} {
		t.Run(name, func(t *testing.T) {
			w := keptWorkspace(t)
			test.spoil(w)
			w.file("a.json", `{`)
			w.restart(keepLastGood)
			err := w.manager.Start(t.Context())
			require.ErrorContains(t, err, "a.json: ")
			require.ErrorContains(t, err, "the set that was served last cannot be served instead: ")
			require.ErrorContains(t, err, test.reason)
		})
	}
}

// Keeping a set finds and repairs damage.
func TestDamagedModulesAreWrittenAgain(t *testing.T) {
	w := keptWorkspace(t)
	require.NoError(t, os.Truncate(w.keptModules()[0], 0))
	w.restart(keepLastGood)
	require.NoError(t, w.manager.Start(t.Context()))
	require.NoError(t, os.RemoveAll(w.path("policies.d")))
	w.restart(keepLastGood)
	require.NoError(t, w.manager.Start(t.Context()))
	w.requireServed(`a {"text":"<&>"}`, `b {}`)
}

// If another process removes kept files, the next set is still kept completely, although this
// process remembers writing them.
func TestRemovedKeptModulesAreWrittenAgain(t *testing.T) {
	for name, lose := range map[string]func(w *workspace){
		"everything is gone": func(w *workspace) {
			require.NoError(w, os.RemoveAll(w.path("state")))
		},
		"the modules are gone": func(w *workspace) {
			require.NoError(w, os.RemoveAll(w.path("state", "last-good", "modules")))
		},
		"a module is cut off": func(w *workspace) {
			require.NoError(w, os.Truncate(w.keptModules()[0], 3))
		},
		"a module is readable": func(w *workspace) {
			require.NoError(w, os.Chmod(w.keptModules()[1], 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := keptWorkspace(t)
			lose(w)
			w.manifest("a", "accept", `{"n":2}`)
			w.takeOver()
			w.requireGood()
			require.Equal(t, 2, w.notes.saves[resultSucceeded])

			require.NoError(t, os.RemoveAll(w.path("policies.d")))
			w.restart(keepLastGood)
			require.NoError(t, w.manager.Start(t.Context()))
			w.requireServed(`a {"n":2}`, `b {}`)
		})
	}
}

func TestServesSetsThatCannotBeKept(t *testing.T) {
	w := newWorkspace(t, keepLastGood)
	require.NoError(t, os.WriteFile(w.path("state"), nil, 0o600)) // no directory can be created here
	w.manifest("a", "accept", `{}`)
	require.NoError(t, w.manager.Start(t.Context()))
	w.requireServed(`a {}`)
	w.requireGood()
	require.Equal(t, 1, w.notes.saves[resultFailed])
}
