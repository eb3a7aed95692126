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
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// silence is a server that accepts requests and never answers.
type silence struct {
	host  string
	asked chan struct{}
}

// listen makes the manager also fetch modules from a server that never answers.
func (w *workspace) listen() *silence {
	w.Helper()
	s := &silence{asked: make(chan struct{}, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.asked <- struct{}{}
		<-r.Context().Done()
	}))
	w.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "http://")
	return s
}

// fetchFrom makes the manager also fetch modules from a server.
func (w *workspace) fetchFrom(s *silence) {
	w.Helper()
	fetcher, err := module.NewFetcher(module.Options{
		MaxBytes: 1 << 20,
		Sources:  module.Sources{Insecure: []string{s.host}},
	})
	require.NoError(w, err)
	w.manager.options.Loader.Fetcher = fetcher
	w.config.Sources.Insecure = []string{s.host}
}

// manifestOf writes a file with one policy whose module has this URI to the directory.
func (w *workspace) manifestOf(name, uri string) {
	w.Helper()
	w.file(name+".json",
		`{"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "metadata": {"name": "`+
			name+`"},
		"spec": {"module": "`+uri+`", "settings": {}, "mutating": false,
		"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}}`)
}

// aside calls f in the background and returns a channel that shows when it has ended.
func aside(f func()) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	return ended
}

const outOfTime = "could not be loaded within 2m0s (reload.loadTimeout)"

func TestLoadingHasADeadline(t *testing.T) {
	for _, scheme := range []string{"http", "registry"} {
		t.Run(scheme, func(t *testing.T) {
			w := newWorkspace(t)
			w.manifest("a", "accept", `{}`)
			require.NoError(t, w.manager.Start(t.Context()))
			s := w.listen()
			w.fetchFrom(s)
			w.manifestOf("b", scheme+"://"+s.host+"/module.wasm")
			served := w.served
			ended := aside(w.takeOver)
			<-s.asked
			w.clock.Step(2 * time.Minute)
			<-ended
			require.Same(t, served, w.served)
			w.requireServed(`a {}`)
			w.requireBad(`ClusterAdmissionPolicy "b": spec.module: `)
			w.requireBad(outOfTime)

			w.manifest("b", "deny", `{}`)
			w.takeOver()
			w.requireGood()
			w.requireServed(`a {}`, `b {}`)
		})
	}
}

func TestACorrectionOvertakesALoadThatHangs(t *testing.T) {
	for name, correct := range map[string]func(w *workspace){
		"another module":     func(w *workspace) { w.manifest("b", "deny", `{}`) },
		"the policy is gone": func(w *workspace) { w.file("b.json", "") },
	} {
		for _, scheme := range []string{"http", "registry"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				w := newWorkspace(t)
				w.manifest("a", "accept", `{}`)
				require.NoError(t, w.manager.Start(t.Context()))
				s := w.listen()
				w.fetchFrom(s)
				w.manifestOf("b", scheme+"://"+s.host+"/module.wasm")
				w.manifest("a", "accept", `{"n":1}`)
				ended := aside(w.takeOver)
				<-s.asked
				correct(w)
				w.clock.Step(watchAfter)
				<-ended
				w.requireGood()
				require.Equal(t, `{"n":1}`, string(w.served.Policies()[0].Spec().Settings.Raw))
				require.Zero(t, w.notes.reloads[resultFailed])
			})
		}
	}
}

// A module that hangs during loading is overtaken by one that replaces it.
func TestAModuleOnDiskOvertakesALoadThatHangs(t *testing.T) {
	w := newWorkspace(t)
	require.NoError(t, w.manager.Start(t.Context()))
	h := newHang()
	w.manager.options.Loader.Metadata = func(wasm []byte) (*abi.Metadata, error) {
		h.wait()
		return abi.ReadMetadata(wasm)
	}
	w.module("m", "accept")
	w.manifest("a", "m", `{}`)
	ended := aside(w.takeOver)
	<-h.stuck
	w.module("m", "deny")
	w.clock.Step(watchAfter)
	<-ended
	w.requireGood()
	response, _, err := w.served.Policies()[0].Evaluate(t.Context(), []byte("{}"))
	require.NoError(t, err)
	require.False(t, response.Accepted)
	require.EqualValues(t, 1, w.manager.strays.Count(), "the load that hangs goes on")
	close(h.release)
	w.requireNoStrays()
}

// Files that change all the time do not keep everything from being loaded.
func TestLoadsAreNotOvertakenForEver(t *testing.T) {
	w := newWorkspace(t)
	require.NoError(t, w.manager.Start(t.Context()))
	s := w.listen()
	w.fetchFrom(s)
	w.manifestOf("b", "http://"+s.host+"/module.wasm")
	ended := aside(w.takeOver)
	<-s.asked
	for n := range maxOvertaken {
		w.manifestOf("b", "http://"+s.host+"/module"+strings.Repeat("x", n+1)+".wasm")
		require.Eventually(t, func() bool {
			w.clock.Step(watchAfter / 100)
			return len(s.asked) > 0
		}, time.Minute, time.Millisecond)
		<-s.asked
	}
	w.manifest("b", "deny", `{}`)
	w.clock.Step(watchAfter)
	w.clock.Step(2 * time.Minute)
	<-ended
	w.requireBad(outOfTime)
}

func (w *workspace) requireNoStrays() {
	w.Helper()
	require.Eventually(w, func() bool { return w.manager.strays.Count() == 0 }, time.Minute,
		time.Millisecond)
}

// hang blocks only the first caller.
type hang struct {
	begun          atomic.Bool
	stuck, release chan struct{}
}

func newHang() *hang { return &hang{stuck: make(chan struct{}), release: make(chan struct{})} }

func (h *hang) wait() {
	if h.begun.CompareAndSwap(false, true) {
		close(h.stuck)
		<-h.release
	}
}

// A call that ignores its context is given up. It does not block a correction, and frees what it
// created in the end.
func TestALoadThatDoesNotEndIsGivenUp(t *testing.T) {
	for name, put := range map[string]func(w *workspace, h *hang){
		"while a module is fetched": func(w *workspace, h *hang) {
			w.fetched.after = func(string) { h.wait() }
		},
		"while a policy is loaded": func(w *workspace, h *hang) {
			w.manager.options.Loader.Adjust = func(*wasmadmission.Policy, *abi.Environment) {
				h.wait()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t)
			w.manifest("a", "accept", `{}`)
			require.NoError(t, w.manager.Start(t.Context()))
			h := newHang()
			put(w, h)
			w.manifest("b", "deny", `{}`)
			ended := aside(w.takeOver)
			<-h.stuck
			w.clock.Step(2 * time.Minute)
			<-ended
			w.requireBad(outOfTime)
			w.requireServed(`a {}`)
			require.EqualValues(t, 1, w.manager.strays.Count())

			w.manifest("b", "deny", `{"n":1}`)
			w.takeOver()
			w.requireGood()
			w.requireServed(`a {}`, `b {"n":1}`)
			close(h.release)
			w.requireNoStrays()
		})
	}
}

// hangingSource is a source whose first answer waits until it is released.
type hangingSource struct {
	Source
	*hang
}

func (s *hangingSource) Policies(ctx context.Context) (*Desired, error) {
	s.wait()
	return s.Source.Policies(ctx)
}

// A source that hangs is not asked again at the same time.
func TestASourceThatHangs(t *testing.T) {
	w := newWorkspace(t)
	require.NoError(t, w.manager.Start(t.Context()))
	source := &hangingSource{Source: w.manager.options.Source, hang: newHang()}
	w.manager.options.Source = source
	w.manifest("a", "accept", `{}`)
	for range 2 { // the second load waits for the call that still hangs
		ended := aside(w.takeOver)
		<-source.stuck
		require.Eventually(t, func() bool {
			w.clock.Step(2 * time.Minute)
			select {
			case <-ended:
				return true
			default:
				return false
			}
		}, time.Minute, time.Millisecond)
		w.requireBad(outOfTime)
	}
	close(source.release)
	w.requireNoStrays()
	w.takeOver()
	w.requireGood()
	w.requireServed(`a {}`)
}

func TestRestartOnWhatWasKeptWhenTheConfiguredSetHangs(t *testing.T) {
	w := keptWorkspace(t)
	s := w.listen()
	w.manifestOf("b", "registry://"+s.host+"/module:v1")
	w.restart(keepLastGood)
	w.fetchFrom(s)
	var err error
	ended := aside(func() { err = w.manager.Start(t.Context()) })
	<-s.asked
	w.clock.Step(2 * time.Minute)
	<-ended
	require.NoError(t, err)
	w.requireServed(`a {"text":"<&>"}`, `b {}`)
	w.requireBad("a set that an earlier process kept is served")
	w.requireBad(outOfTime)
	require.True(t, w.manager.Status().Kept)
}

// blocking is a guest that is slow to close.
type blocking struct {
	abi.Guest
	closing, release chan struct{}
}

func (b *blocking) ValidateSettings(context.Context, *abi.Environment,
	[]byte) (*abi.SettingsValidationResponse, error) {
	return &abi.SettingsValidationResponse{Valid: true}, nil
}

func (b *blocking) Close() {
	close(b.closing)
	<-b.release
}

// setOf returns a set with one policy.
func (w *workspace) setOf(guest abi.Guest) *policyset.Set {
	w.Helper()
	const mode = "blocking"
	loader := &policyset.Loader{
		Engine: w.engine,
		Metadata: func([]byte) (*abi.Metadata, error) {
			return &abi.Metadata{ExecutionMode: mode}, nil
		},
		Guests: map[abi.ExecutionMode]policyset.GuestLoader{
			mode: func(context.Context, *engine.Engine, []byte) (abi.Guest, error) {
				return guest, nil
			},
		},
	}
	config := *w.config
	config.Policies = []wasmadmission.Policy{{
		Name: "old", Module: "file://" + w.path("accept.wasm"),
		Rules: []admissionregistrationv1.RuleWithOperations{{}},
	}}
	set, errs := loader.Load(w.Context(), &config)
	require.Empty(w, errs)
	return set
}

// Nobody waits for a set to be freed: neither callers of Status nor the last request that uses the
// set.
func TestSetsAreFreedOutsideTheLock(t *testing.T) {
	for name, holders := range map[string]int{"by the manager": 0, "by a subscriber": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t)
			require.NoError(t, w.manager.Start(t.Context()))
			b := &blocking{closing: make(chan struct{}), release: make(chan struct{})}
			old := w.setOf(b)
			w.manager.swap(old, Status{})
			for range holders {
				require.True(t, old.Acquire())
				w.manager.Subscribe(func(set *policyset.Set) {
					if set != old {
						old.Close()
						old.Release()
					}
				})
			}
			swapped := aside(func() { w.manager.swap(&policyset.Set{}, Status{Running: "next"}) })
			<-b.closing
			require.Equal(t, "next", w.manager.Status().Running)
			require.False(t, w.manager.Serves("clusterwide-a"))
			w.manager.Subscribe(func(*policyset.Set) {})
			close(b.release)
			<-swapped
		})
	}
}
