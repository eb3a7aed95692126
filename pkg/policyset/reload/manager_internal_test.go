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
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	componentmetrics "k8s.io/component-base/metrics"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// workspace is a manager with a policy directory, modules and a state directory on disk.
type workspace struct {
	*testing.T
	root    string
	config  *wasmadmission.WasmAdmissionConfiguration
	engine  *engine.Engine
	clock   *clocktesting.FakeClock
	notes   *notes
	fetched *countingFetcher
	manager *Manager
	served  *policyset.Set
}

// countingFetcher counts the files that it fetches, and can be told to fail.
type countingFetcher struct {
	module.Fetcher
	fail  error
	after func(uri string) // called after each fetch
}

func (f *countingFetcher) Get(ctx context.Context, request module.Request) (*module.Module, error) {
	if f.fail != nil {
		return nil, f.fail
	}
	fetched, err := f.Fetcher.Get(ctx, request)
	if f.after != nil {
		f.after(request.URI)
	}
	return fetched, err
}

// notes records what a manager reports to the metrics.
type notes struct {
	sets     map[string]string
	reloads  map[string]int
	saves    map[string]int
	since    time.Time
	policies int
}

func (n *notes) SetPolicySet(state string, hash string)       { n.sets[state] = hash }
func (n *notes) ObserveReload(result string, _ time.Duration) { n.reloads[result]++ }
func (n *notes) CountLastGoodSave(result string)              { n.saves[result]++ }
func (n *notes) SetReloadFailedSince(since time.Time)         { n.since = since }
func (n *notes) SetPolicies(count int)                        { n.policies = count }

// newWorkspace creates a workspace. The manager is not started.
func newWorkspace(t *testing.T,
	adjust ...func(*wasmadmission.WasmAdmissionConfiguration)) *workspace {
	t.Helper()
	w := &workspace{T: t, root: t.TempDir()}
	require.NoError(t, os.Chmod(w.root, 0o700))
	require.NoError(t, os.Mkdir(w.path("policies.d"), 0o700))
	for _, name := range []string{"accept", "deny", "settings-refused"} {
		w.module(name, name)
	}
	w.restart(adjust...)
	return w
}

// restart creates a new manager for the same files, as a new process would.
func (w *workspace) restart(adjust ...func(*wasmadmission.WasmAdmissionConfiguration)) {
	w.Helper()
	var err error
	w.config, err =
		load.LoadFromData(
			[]byte(
				`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration"}`))
	require.NoError(w, err)
	w.config.PolicyDirectory = w.path("policies.d")
	w.config.StateDirectory = w.path("state")
	w.config.Limits.ModuleSize = 1 << 20
	for _, f := range adjust {
		f(w.config)
	}
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(w, err)
	w.engine = e
	w.clock = clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	w.notes = &notes{sets: map[string]string{}, reloads: map[string]int{}, saves: map[string]int{}}
	w.fetched = &countingFetcher{Fetcher: module.Fetcher{MaxBytes: 1 << 20}}
	w.manager = New(Options{
		Config: w.config, Source: NewSource(w.config),
		Loader: &policyset.Loader{Engine: w.engine, Fetcher: w.fetched}, Recorder: w.notes,
		Clock: w.clock,
	})
	w.manager.Subscribe(func(set *policyset.Set) { w.served = set })
	manager := w.manager
	w.Cleanup(func() {
		manager.running().Close()
		require.Zero(w, e.Stats().MemoryBytes, "what was loaded is freed")
		require.NoError(w, e.Close())
	})
}

func keepLastGood(config *wasmadmission.WasmAdmissionConfiguration) {
	config.Reload.KeepLastGood = true
}

func (w *workspace) path(parts ...string) string {
	return filepath.Join(append([]string{w.root}, parts...)...)
}

// module copies a guest of test/wat to a name.
func (w *workspace) module(name, guest string) {
	w.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "..", "..", "test", "wat", guest+".wasm"))
	require.NoError(w, err)
	require.NoError(w, os.WriteFile(w.path(name+".wasm"), wasm, 0o600))
}

// manifest writes a file with one policy to the directory.
func (w *workspace) manifest(name, guest, settings string) {
	w.Helper()
	w.file(name+".json",
		fmt.Sprintf(
			`{"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "metadata": {"name": %q},
		"spec": {"module": "file://%s", "settings": %s, "mutating": false,
		"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}}`, name, w.path(guest+".wasm"), settings))
}

func (w *workspace) file(name, content string) {
	w.Helper()
	require.NoError(w, os.WriteFile(w.path("policies.d", name), []byte(content), 0o600))
}

// takeOver does what happens after a change on disk, or at the interval.
func (w *workspace) takeOver() { w.manager.takeOver(w.Context()) }

// requireServed checks which policies are served, each as NAME=DIGEST/SETTINGS.
func (w *workspace) requireServed(want ...string) {
	w.Helper()
	got := []string{}
	for _, p := range w.served.Policies() {
		got = append(got, strings.TrimPrefix(p.Name(), "clusterwide-")+" "+
			string(p.Spec().Settings.Raw))
	}
	if want == nil {
		want = []string{}
	}
	require.Equal(w, want, got)
	require.Equal(w, len(want), w.notes.policies)
	for _, p := range w.served.Policies() {
		_, _, err := p.Evaluate(w.Context(), []byte("{}"))
		require.NoError(w, err)
	}
}

// requireGood checks that the desired set is served.
func (w *workspace) requireGood() {
	w.Helper()
	require.NoError(w, w.manager.Check())
	require.Zero(w, w.notes.since)
	require.Equal(w, w.notes.sets["running"], w.notes.sets["desired"])
}

// requireBad checks that the desired set is not served, and that the manager says why.
func (w *workspace) requireBad(reason string) {
	w.Helper()
	require.ErrorContains(w, w.manager.Check(), reason)
	require.False(w, w.notes.since.IsZero())
	require.NotEqual(w, w.notes.sets["running"], w.notes.sets["desired"])
}

func TestChangesAreTakenOver(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("a", "accept", `{"n":1}`)
	require.NoError(t, w.manager.Start(t.Context()))
	w.requireServed(`a {"n":1}`)
	w.requireGood()

	for _, change := range []struct {
		name string
		make func()
		want []string
	}{
		{"settings", func() { w.manifest("a", "accept", `{"n":2}`) }, []string{`a {"n":2}`}},
		{"a policy more", func() { w.manifest("b", "deny", `{}`) }, []string{`a {"n":2}`, `b {}`}},
		{"a policy less", func() { require.NoError(t, os.Remove(w.path("policies.d", "a.json"))) },
			[]string{`b {}`}},
		{"a space, of which nothing follows", func() {
			content, err := os.ReadFile(w.path("policies.d", "b.json"))
			require.NoError(t, err)
			w.file("b.json", " "+string(content))
		}, []string{`b {}`}},
		{"no policy", func() { require.NoError(t, os.Remove(w.path("policies.d", "b.json"))) },
			nil},
	} {
		before := w.notes.sets["running"]
		reloads := w.notes.reloads[resultSucceeded]
		change.make()
		w.takeOver()
		w.requireServed(change.want...)
		w.requireGood()
		require.NotEqual(t, before, w.notes.sets["running"], change.name)
		require.Equal(t, reloads+1, w.notes.reloads[resultSucceeded], change.name)
		served := w.served
		w.takeOver()
		require.Same(t, served, w.served, "no change, no reload")
	}
}

// Metrics forget a policy when nobody serves it any more, and not earlier.
func TestMetricsForgetPoliciesThatAreGone(t *testing.T) {
	w := newWorkspace(t)
	registry, recorder := componentmetrics.NewKubeRegistry(), metrics.NewPolicies()
	recorder.MustRegister(registry.MustRegister)
	w.manager.options.Loader.Recorder = recorder
	known := func() (policies []string) {
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, family := range families {
			for _, m := range family.GetMetric() {
				if family.GetName() == "apiserver_wasm_admission_policy_fuel_total" {
					policies = append(policies, m.GetLabel()[0].GetValue())
				}
			}
		}
		return policies
	}
	for _, name := range []string{"stays", "changes", "goes"} {
		w.manifest(name, "accept", `{"n":1}`)
	}
	require.NoError(t, w.manager.Start(t.Context()))
	for _, p := range w.served.Policies() {
		recorder.AddFuel(p.Name(), 1)
	}
	first := w.served
	require.True(t, first.Acquire(), "a request is under way")
	w.manifest("changes", "accept", `{"n":2}`)
	require.NoError(t, os.Remove(w.path("policies.d", "goes.json")))
	w.takeOver()
	w.requireServed(`changes {"n":2}`, `stays {"n":1}`)
	require.Equal(t, []string{"clusterwide-changes", "clusterwide-goes", "clusterwide-stays"},
		known())
	first.Release()
	require.Eventually(t, func() bool { return len(known()) == 2 }, time.Minute, time.Millisecond)
	require.Equal(t, []string{"clusterwide-changes", "clusterwide-stays"}, known())

	// A bad change does not affect the series of the policies that are served.
	w.manifest("changes", "settings-refused", `{}`)
	w.manifest("stays", "accept", `{"n":3}`)
	w.takeOver()
	w.requireBad("changes")
	require.Equal(t, []string{"clusterwide-changes", "clusterwide-stays"}, known())
}

func TestAModuleIsReplaced(t *testing.T) {
	w := newWorkspace(t)
	w.module("m", "accept")
	w.manifest("a", "m", `{}`)
	w.manifest("b", "accept", `{}`)
	require.NoError(t, w.manager.Start(t.Context()))
	kept := w.served.Policies()[1]
	w.module("m", "deny")
	w.takeOver()
	w.requireGood()
	response, _, err := w.served.Policies()[0].Evaluate(t.Context(), []byte("{}"))
	require.NoError(t, err)
	require.False(t, response.Accepted)
	require.Same(t, kept, w.served.Policies()[1], "what has not changed is carried over")
}

func TestABadChangeKeepsTheLastGoodSet(t *testing.T) {
	for _, test := range []struct {
		name   string
		spoil  func(w *workspace)
		mend   func(w *workspace)
		reason string
	}{
		{
			"a file that does not parse",
			func(w *workspace) { w.file("a.json", `{"Policies": [`) }, func(w *workspace) {
				w.manifest("a", "accept", `{}`)
			},
			"a.json: object 1 is not valid JSON",
		},
		{
			"settings that the policy refuses",
			func(w *workspace) { w.manifest("b", "settings-refused", `{}`) }, func(w *workspace) {
				w.manifest("b", "accept", `{}`)
			},
			`b.json[1] ClusterAdmissionPolicy "b": spec.settings: Invalid value: the policy refuses these settings: settings-refused.wat takes no settings`,
		},
		{
			"a value that validation refuses",
			func(w *workspace) { w.manifest("Not A Name", "accept", `{}`) }, func(w *workspace) {
				require.NoError(w, os.Remove(w.path("policies.d", "Not A Name.json")))
			},
			`ClusterAdmissionPolicy "Not A Name": metadata.name: Invalid value`,
		},
		{
			"a name twice",
			func(w *workspace) {
				w.manifest("a", "accept", `{}`)
				require.NoError(w,
					os.Link(w.path("policies.d", "a.json"), w.path("policies.d", "again.json")))
			},
			func(w *workspace) {
				require.NoError(w, os.Remove(w.path("policies.d", "again.json")))
			},
			`metadata.name: gives the policy the name "clusterwide-a"`,
		},
		{
			"a module that is missing",
			func(w *workspace) { w.manifest("b", "missing", `{}`) }, func(w *workspace) {
				w.manifest("b", "deny", `{}`)
			},
			`ClusterAdmissionPolicy "b": spec.module: Invalid value`,
		},
		{
			"a module that is cut off",
			func(w *workspace) { require.NoError(w, os.Truncate(w.path("accept.wasm"), 100)) },
			func(w *workspace) { w.module("accept", "accept") },
			`ClusterAdmissionPolicy "a": spec.module: Invalid value`,
		},
		{
			"a directory that is gone",
			func(w *workspace) {
				require.NoError(w, os.Rename(w.path("policies.d"), w.path("away")))
			},
			func(w *workspace) {
				require.NoError(w, os.Rename(w.path("away"), w.path("policies.d")))
			},
			"policyDirectory: cannot be read: lstat ",
		},
		{
			"a file that others may write",
			func(w *workspace) {
				require.NoError(w, os.Chmod(w.path("policies.d", "a.json"), 0o666))
			},
			func(w *workspace) {
				require.NoError(w, os.Chmod(w.path("policies.d", "a.json"), 0o600))
			},
			"must not be able to write it",
		},
		{
			"a file that is no file",
			func(w *workspace) {
				require.NoError(w, os.Mkdir(w.path("policies.d", "x.yaml"), 0o700))
			},
			func(w *workspace) { require.NoError(w, os.Remove(w.path("policies.d", "x.yaml"))) },
			"x.yaml is not a regular file",
		},
		{
			"a dangling link",
			func(w *workspace) {
				require.NoError(w, os.Symlink("nowhere", w.path("policies.d", "x.yaml")))
			},
			func(w *workspace) { require.NoError(w, os.Remove(w.path("policies.d", "x.yaml"))) },
			"nowhere: no such file",
		},
		{
			"files that are too large together",
			func(w *workspace) { w.file("x.json", strings.Repeat(" ", 4<<20)+"!") },
			func(w *workspace) { require.NoError(w, os.Remove(w.path("policies.d", "x.json"))) },
			"x.json has 4194305 bytes",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorkspace(t)
			w.manifest("a", "accept", `{}`)
			require.NoError(t, w.manager.Start(t.Context()))
			served := w.served
			began := w.clock.Now()
			test.spoil(w)
			w.takeOver()
			require.Same(t, served, w.served)
			w.requireServed(`a {}`)
			w.requireBad(test.reason)
			require.Equal(t, began, w.notes.since)
			w.clock.Step(time.Hour)
			w.takeOver()
			w.requireBad(test.reason)
			require.Equal(t, began, w.notes.since, "it says since when")
			test.mend(w)
			w.takeOver()
			w.requireGood()
		})
	}
}

func TestABadChangeNamesAllProblems(t *testing.T) {
	w := newWorkspace(t)
	require.NoError(t, w.manager.Start(t.Context()))
	w.manifest("a", "missing", `{}`)
	w.manifest("b", "settings-refused", `{}`)
	w.takeOver()
	w.requireBad(`ClusterAdmissionPolicy "a": spec.module: `)
	w.requireBad(`ClusterAdmissionPolicy "b": spec.settings: `)

	w.file("a.json", `{`)
	w.file("b.json", `}`)
	w.takeOver()
	w.requireBad("a.json: ")
	w.requireBad("b.json: ")
}

func TestABadStartIsRefused(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("a", "missing", `{}`)
	w.manifest("b", "settings-refused", `{}`)
	err := w.manager.Start(t.Context())
	require.Len(t, strings.Split(err.Error(), "\n"), 2)
}

func TestFailingSetsAreRetriedLessOften(t *testing.T) {
	w := newWorkspace(t)
	require.NoError(t, w.manager.Start(t.Context()))
	w.manifest("b", "settings-refused", `{}`)
	var tries []int
	for minute := range 40 {
		before := w.notes.reloads[resultFailed]
		w.takeOver()
		if w.notes.reloads[resultFailed] > before {
			tries = append(tries, minute)
		}
		w.clock.Step(time.Minute)
	}
	require.Equal(t, []int{0, 1, 3, 7, 15, 31}, tries)
	w.manifest("b", "deny", `{}`)
	w.takeOver()
	w.requireGood()
}

func TestARegistryThatIsDown(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("a", "accept", `{}`)
	require.NoError(t, w.manager.Start(t.Context()))
	w.fetched.fail = errors.New("connection refused")
	w.takeOver()
	w.requireBad("connection refused")
	w.requireServed(`a {}`)
	w.fetched.fail = nil
	w.takeOver()
	w.requireGood()
	require.Equal(t, 1, w.notes.reloads[resultSucceeded], "what is served was never another set")
}

// A set is consistent even if modules are replaced while it is loaded.
func TestAModuleChangesWhileItIsLoaded(t *testing.T) {
	for name, at := range map[string]int{"between the looks": 1, "between looking and loading": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t)
			w.manifest("a", "accept", `{}`)
			require.NoError(t, w.manager.Start(t.Context()))
			fetches := 0
			w.fetched.after = func(string) {
				if fetches++; fetches == at {
					w.module("accept", "deny")
				}
			}
			w.manifest("a", "accept", `{"n":1}`)
			w.takeOver()
			w.requireGood()
			response, _, err := w.served.Policies()[0].Evaluate(t.Context(), []byte("{}"))
			require.NoError(t, err)
			require.False(t, response.Accepted)

			w.fetched.after = func(string) {
				fetches++
				w.module("accept", []string{"accept", "deny"}[fetches%2])
			}
			w.manifest("a", "accept", `{"n":2}`)
			w.takeOver()
			w.requireBad("keep changing while they are read")
		})
	}
}

// The store keeps the current and the previous set, for going back.
func TestTheStoreKeepsTwoSets(t *testing.T) {
	w := newWorkspace(t)
	store, err := module.OpenStore(w.path("modules"))
	require.NoError(t, err)
	w.manager.options.Store = store
	digests := map[string]string{}
	for _, guest := range []string{"accept", "deny", "settings-refused"} {
		fetched, err := w.fetched.Get(t.Context(),
			module.Request{URI: "file://" + w.path(guest+".wasm")})
		require.NoError(t, err)
		require.NoError(t, store.Put(fetched))
		digests[guest] = fetched.Digest
	}
	requireStored := func(want ...string) {
		t.Helper()
		for guest, digest := range digests {
			_, err := store.Get(digest, 1<<20)
			require.Equal(t, slices.Contains(want, guest), err == nil, guest)
		}
	}
	w.manifest("a", "accept", `{}`)
	require.NoError(t, w.manager.Start(t.Context()))
	requireStored("accept")

	fetched, err := w.fetched.Get(t.Context(), module.Request{URI: "file://" + w.path("deny.wasm")})
	require.NoError(t, err)
	require.NoError(t, store.Put(fetched))
	w.manifest("a", "deny", `{}`)
	w.takeOver()
	requireStored("accept", "deny")
	w.manifest("a", "settings-refused", `{}`)
	w.takeOver()
	requireStored("accept", "deny")
	w.manifest("a", "deny", `{"n":1}`)
	w.takeOver()
	requireStored("deny")
}

func TestPanicsAreBadChanges(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("a", "accept", `{}`)
	require.NoError(t, w.manager.Start(t.Context()))
	w.fetched.after = func(string) { panic("out of order") }
	w.takeOver()
	w.requireBad("out of order")
	w.fetched.after = nil
	w.manager.options.Source = panickingSource{w.manager.options.Source}
	w.manifest("a", "accept", `{"n":1}`)
	w.takeOver()
	w.requireBad("no idea")
	w.requireServed(`a {}`)
}

type panickingSource struct{ Source }

func (panickingSource) Policies(context.Context) (*Desired, error) { panic("no idea") }

func TestSubscribersSeeTheSameSet(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("a", "accept", `{}`)
	require.NoError(t, w.manager.Start(t.Context()))
	var late *policyset.Set
	w.manager.Subscribe(func(set *policyset.Set) { late = set })
	require.Same(t, w.served, late)
	w.manifest("a", "accept", `{"n":1}`)
	w.takeOver()
	require.Same(t, w.served, late)
	require.True(t, w.manager.Serves("clusterwide-a"))
	require.False(t, w.manager.Serves("clusterwide-b"))
}

// Run finds a change on its own.
func TestRun(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("a", "accept", `{}`)
	require.NoError(t, w.manager.Start(t.Context()))
	w.manager.options.Clock = clock.RealClock{}
	ctx, cancel := context.WithCancel(t.Context())
	ended, changed := make(chan struct{}), make(chan *policyset.Set, 10)
	go func() {
		defer close(ended)
		w.manager.Run(ctx)
	}()
	w.manager.Subscribe(func(set *policyset.Set) { changed <- set })
	require.Len(t, (<-changed).Policies(), 1)
	w.manifest("b", "deny", `{}`)
	for len((<-changed).Policies()) != 2 {
	}
	cancel()
	<-ended
}

// Listeners learn of each change of the status, and since when a set is served.
func TestListen(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("p", "accept", "{}")
	require.NoError(t, w.manager.Start(t.Context()))
	began, heard := w.clock.Now(), 0
	w.manager.Listen(func() { heard++ })
	require.Equal(t, began, w.manager.Status().Since)

	w.clock.Step(time.Hour)
	w.manifest("p", "missing", "{}")
	w.takeOver()
	require.Equal(t, 1, heard, "it cannot be loaded")
	require.Equal(t, began, w.manager.Status().Since)
	w.manifest("p", "accept", "{}")
	w.takeOver()
	require.Equal(t, 2, heard, "it is as it was")
	require.Equal(t, began, w.manager.Status().Since)
	w.manifest("p", "deny", "{}")
	w.takeOver()
	require.Equal(t, 3, heard, "it is another")
	require.Equal(t, began.Add(time.Hour), w.manager.Status().Since)
	w.takeOver()
	require.Equal(t, 3, heard, "nothing has changed")
}
