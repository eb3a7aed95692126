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
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// nobody is the warning about a grant to a policy that does not exist.
func nobody(n int, name string) string {
	return fmt.Sprintf(
		"capabilities.kubernetes.secretReaders[%d]: no policy is called %q, so this entry grants nothing: "+
			"write the name that is in messages about the policy, <group>/<member> for a member of a group, or remove the entry",
		n, name)
}

func TestReadersOfSecretsThatDoNotExist(t *testing.T) {
	config := &wasmadmission.WasmAdmissionConfiguration{
		Policies: []wasmadmission.Policy{{Name: "own"}},
		PolicyGroups: []wasmadmission.PolicyGroup{{
			Name: "group", Policies: []wasmadmission.PolicyGroupMember{{Name: "member"}},
		}},
	}
	config.Capabilities.Kubernetes.SecretReaders = []string{
		"own", "own ", "group/member", "group", "member", "Own",
	}
	desired, err := NewSource(config).Policies(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{
		nobody(1, "own "),
		nobody(3, "group"),
		nobody(4, "member"),
		nobody(5, "Own"),
	}, desired.Warnings)
}

// A grant to a policy that does not exist does not stop the others: the policy may be added.
func TestReadersOfSecretsComeAndGo(t *testing.T) {
	w := newWorkspace(t, func(config *wasmadmission.WasmAdmissionConfiguration) {
		config.Capabilities.Kubernetes.SecretReaders = []string{
			"clusterwide-a", "clusterwide-b", "a",
		}
	})
	requireWarnings := func(want ...string) {
		t.Helper()
		desired, err := w.manager.options.Source.Policies(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, desired.Warnings)
	}
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	w.manifest("a", "accept", `{}`)
	require.NoError(t, w.manager.Start(klog.NewContext(t.Context(), logger)))
	w.requireServed(`a {}`)
	w.requireGood()
	requireWarnings(nobody(1, "clusterwide-b"), nobody(2, "a"))
	require.Contains(t, logger.GetSink().(ktesting.Underlier).GetBuffer().String(),
		"Warning: "+nobody(1, "clusterwide-b"))

	w.manifest("b", "accept", `{}`)
	w.takeOver()
	w.requireServed(`a {}`, `b {}`)
	requireWarnings(nobody(2, "a"))

	require.NoError(t, os.Remove(w.path("policies.d", "a.json")))
	w.takeOver()
	w.requireServed(`b {}`)
	requireWarnings(nobody(0, "clusterwide-a"), nobody(2, "a"))
}

// Warnings about skipped files are not part of the hash, but are still logged, once.
func TestSkippedFilesAreLoggedOnce(t *testing.T) {
	w := newWorkspace(t)
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	ctx := klog.NewContext(t.Context(), logger)
	said := func() int {
		return strings.Count(logger.GetSink().(ktesting.Underlier).GetBuffer().String(), "b.YAML")
	}
	w.manifest("a", "accept", `{}`)
	require.NoError(t, w.manager.Start(ctx))
	running := w.manager.Status().Running
	require.Zero(t, said())

	w.file("b.YAML", `{`)
	w.manager.takeOver(ctx)
	require.Equal(t, running, w.manager.Status().Running)
	require.Equal(t, 1, said())
	w.manager.takeOver(ctx)
	w.manifest("c", "accept", `{}`)
	w.manager.takeOver(ctx)
	w.requireServed(`a {}`, `c {}`)
	require.Equal(t, 1, said())
}

// A log entry is one line, whatever the problem.
func TestTheLogHasProblemsInOneLine(t *testing.T) {
	w := newWorkspace(t)
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	ctx := klog.NewContext(t.Context(), logger)
	require.NoError(t, w.manager.Start(ctx))
	w.file("a.yaml", "kind: A\n---\nkind: B\n")
	w.manager.takeOver(ctx)
	w.requireBad("a.yaml[1]")
	entries := logger.GetSink().(ktesting.Underlier).GetBuffer().Data()
	err := entries[len(entries)-1].Err
	require.NotContains(t, err.Error(), "\n")
	require.Contains(t, err.Error(), "2 problems: (1) "+w.path("policies.d", "a.yaml")+"[1] A: ")
}

// A set with too few policies is not served.
func TestMinimumPolicies(t *testing.T) {
	two := func(config *wasmadmission.WasmAdmissionConfiguration) { config.MinimumPolicies = 2 }
	w := newWorkspace(t, two)
	const wanting = "minimumPolicies: Invalid value: 2: the configuration and "
	w.manifest("a", "accept", `{}`)
	require.ErrorContains(t, w.manager.Start(t.Context()), wanting+w.path("policies.d")+
		" have 1 policies and groups: add the missing ones, or lower the number")

	w.manifest("b", "accept", `{}`)
	w.restart(two, keepLastGood)
	require.NoError(t, w.manager.Start(t.Context()))
	w.requireServed(`a {}`, `b {}`)
	require.NoError(t, os.Remove(w.path("policies.d", "a.json")))
	w.takeOver()
	w.requireBad(wanting)
	w.requireServed(`a {}`, `b {}`)
	require.NoError(t, os.Remove(w.path("policies.d", "b.json")))
	w.takeOver()
	w.requireBad(wanting)
	w.requireServed(`a {}`, `b {}`)

	// A kept set must also have enough policies.
	w.restart(keepLastGood, func(config *wasmadmission.WasmAdmissionConfiguration) {
		config.MinimumPolicies = 3
	})
	require.ErrorContains(t, w.manager.Start(t.Context()),
		"the set that was served last cannot be served instead: minimumPolicies: Invalid value: 3: ")

	config := &wasmadmission.WasmAdmissionConfiguration{MinimumPolicies: 1}
	_, err := NewSource(config).Policies(t.Context())
	require.EqualError(t, err,
		"minimumPolicies: Invalid value: 1: the configuration has 0 policies and groups: add the missing ones, or lower the number")
}

// If there are too few policies, the error names what may be meant to be one.
func TestTooFewPoliciesNamesFilesWithoutEffect(t *testing.T) {
	w := newWorkspace(t, func(config *wasmadmission.WasmAdmissionConfiguration) {
		config.MinimumPolicies = 1
	})
	require.NoError(t, os.Mkdir(w.path("policies.d", "more"), 0o700))
	w.file("a.YAML", "{}")
	w.file("empty.yaml", "# nothing\n")
	w.file("server.yaml",
		"{apiVersion: policies.kubewarden.io/v1, kind: PolicyServer, metadata: {name: default}}")
	want := []string{
		`"` + w.path("policies.d", "a.YAML") +
			`" is not read, and nothing in it is enforced: write its extension as .yaml`,
		`"` + w.path("policies.d", "more") +
			`" is not read, and nothing in it is enforced: it is a directory, and manifests have to be in the policy directory itself`,
		w.path("policies.d", "empty.yaml") + ": contains no object: write one or remove the file",
		w.path("policies.d", "server.yaml") +
			`[1] PolicyServer "default": has no effect in process: there is no policy server`,
	}
	desired, err := w.manager.options.Source.Policies(t.Context())
	require.ErrorContains(t, err, "lower the number; files and objects without effect: "+strings.Join(want, "; "))
	require.Equal(t, want, desired.Warnings)
	require.EqualError(t, w.manager.Start(t.Context()), err.Error())

	// Warnings about skipped files are not part of the hash.
	require.NoError(t, os.Remove(w.path("policies.d", "a.YAML")))
	_, err = w.manager.options.Source.Policies(t.Context())
	require.ErrorContains(t, err, "files and objects without effect: "+want[1])

	for n := range 20 {
		w.file(fmt.Sprint(n), "")
	}
	_, err = w.manager.options.Source.Policies(t.Context())
	require.ErrorContains(t, err, "; … and 18 more")
}

// Problems of one manifest do not hide the warnings about another.
func TestWarningsOfManifestsBesideProblems(t *testing.T) {
	w := newWorkspace(t)
	w.file("a.yaml", "kind: A\n")
	w.file("empty.yaml", "")
	desired, err := w.manager.options.Source.Policies(t.Context())
	require.ErrorContains(t, err, "a.yaml[1] A: apiVersion: is missing")
	require.Equal(t, []string{
		w.path("policies.d", "empty.yaml") + ": contains no object: write one or remove the file",
	}, desired.Warnings)
}

// Layouts are watched, be they tars or directories, for all modules or for one.
func TestLayoutsAreWatched(t *testing.T) {
	w := newWorkspace(t, func(config *wasmadmission.WasmAdmissionConfiguration) {
		config.Sources.Layout = "/all.tar"
	})
	require.Subset(t,
		w.manager.pathsOf([]address{{URI: "oci-layout:///one:v1"}, {URI: "registry://host/p:v1"}}),
		[]string{"/all.tar", "/all.tar/index.json", "/one", "/one/index.json"})
}
