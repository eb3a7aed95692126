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

package sigstore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// serving is a policy whose module is signed with a certificate. Configuration and trust root are
// in files.
type serving struct {
	*testing.T
	directory string
	newRoot   assembly.CheckerFactory
	manager   *reload.Manager
	served    atomic.Pointer[policyset.Set]
	stop      func()
	// looked receives a value whenever the manager has reported its state.
	looked chan struct{}
	// kept receives a value whenever the manager has saved a policy set.
	kept chan struct{}
	*metrics.Policies
}

func (s *serving) SetReloadFailedSince(since time.Time) {
	s.Policies.SetReloadFailedSince(since)
	select {
	case s.looked <- struct{}{}:
	default:
	}
}

func (s *serving) CountLastGoodSave(result string) {
	s.Policies.CountLastGoodSave(result)
	if result == "succeeded" {
		s.kept <- struct{}{}
	}
}

func newServing(t *testing.T, f *forge) *serving {
	t.Helper()
	s := &serving{T: t, directory: t.TempDir(), newRoot: ForConfiguration}
	wasm, err := os.ReadFile(filepath.Join("..", "..", "test", "wat", "accept.wasm"))
	require.NoError(t, err)
	leaf, key := f.leaf(t, request{})
	s.put("accept.wasm", wasm)
	s.put("accept.wasm.sigstore.json",
		candidate(t, f.certified(t, fileBundle(t, key, wasm), leaf, time.Now())).Bundle)
	s.demand(testEmail)
	s.put("root.json", f.parts().json(t))
	return s
}

func (s *serving) path(name string) string { return filepath.Join(s.directory, name) }

// put replaces a file atomically.
func (s *serving) put(name string, content []byte) {
	s.Helper()
	require.NoError(s, safefile.WritePrivate(s.path(name), content))
}

// demand demands a signature by a subject.
func (s *serving) demand(subject string) {
	s.Helper()
	s.put("verification.yaml",
		fmt.Appendf(nil,
			"apiVersion: v1\nallOf: [{kind: genericIssuer, issuer: %q, subject: {equal: %q}}]\n",
			testIssuer, subject))
}

// start starts a server, and returns the reason if it does not start. The server stops with the
// test at the latest.
func (s *serving) start() error {
	s.Helper()
	config, err := assembly.Decode(fmt.Appendf(nil, `
apiVersion: wasm.admission.config.k8s.io/v1alpha1
kind: WasmAdmissionConfiguration
stateDirectory: %[1]s/state
verification: {file: %[1]s/verification.yaml, trustRoot: {file: %[1]s/root.json}}
reload: {keepLastGood: true, interval: 24h}
policies:
- name: accept
  module: file://%[1]s/accept.wasm
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
`, s.directory))
	require.NoError(s, err)
	ctx, cancel := context.WithCancel(s.Context())
	s.looked, s.kept, s.Policies = make(chan struct{}, 1), make(chan struct{}, 100),
		metrics.NewPolicies()
	a, err := assembly.New(ctx, config,
		assembly.Options{NewChecker: s.newRoot, Recorder: s, AdjustEngine: func(o *engine.Options) {
			o.Compilation, o.CacheDirectory = engine.InProcess, ""
		}})
	if err != nil {
		cancel()
		return err
	}
	s.manager = a.Manager(reload.NewSource(config))
	s.manager.Subscribe(s.served.Store)
	done := make(chan struct{})
	err = s.manager.Start(ctx)
	s.stop = func() {
		cancel()
		<-done
		s.served.Load().Close()
		require.NoError(s, a.Close())
	}
	if err != nil {
		close(done)
		s.stop()
		return err
	}
	go func() {
		defer close(done)
		s.manager.Run(ctx)
	}()
	return nil
}

// holdRoot takes the trust root from memory instead of a file. The returned function refreshes it.
func (s *serving) holdRoot(content []byte) (refresh func([]byte)) {
	s.Helper()
	var root atomic.Pointer[Root]
	changed := func() {}
	s.newRoot = func(_ context.Context, _ *wasmadmission.WasmAdmissionConfiguration,
		o verification.RootOptions) (verification.Checker, error) {
		changed = o.Changed
		return New(root.Load), nil
	}
	refresh = func(content []byte) {
		parsed, err := ParseRoot(content, time.Now())
		require.NoError(s, err)
		root.Store(parsed)
		changed()
	}
	refresh(content)
	return refresh
}

// requireBad waits until a change is rejected, and checks that the previous set is still served.
func (s *serving) requireBad(why string) {
	s.Helper()
	served := s.served.Load()
	for s.manager.Check() == nil {
		<-s.looked
	}
	require.ErrorContains(s, s.manager.Check(), why)
	require.Same(s, served, s.served.Load())
	require.Len(s, s.served.Load().Policies(), 1)
}

// requireGood waits until the latest change is served.
func (s *serving) requireGood() {
	s.Helper()
	for s.manager.Check() != nil {
		<-s.looked
	}
}

// both returns a trust root with the parts of two forges.
func both(t *testing.T, f, other *forge) []byte {
	t.Helper()
	p, q := f.parts(), other.parts()
	p.authorities, p.timestamps = append(p.authorities, q.authorities...),
		append(p.timestamps, q.timestamps...)
	maps.Copy(p.logs, q.logs)
	maps.Copy(p.ctLogs, q.ctLogs)
	return p.json(t)
}

// When the files with the demands or the trust root change, all modules are verified again.
func TestTrustThatChanges(t *testing.T) {
	f, other := newForge(t), newForge(t)
	s := newServing(t, f)
	require.NoError(t, s.start())
	t.Cleanup(func() { s.stop() })
	first := s.manager.Status().Running

	without := other.parts()
	without.authorities = nil
	for _, c := range []struct {
		file    string
		content []byte
		why     string
	}{
		{"root.json", other.parts().json(t), "policies[accept].module: "},
		{"root.json", nil, "verification.trustRoot: " + s.path("root.json") +
			": the trust root is empty"},
		{"root.json", without.json(t), "has no certificate authority"},
		{"root.json", []byte("{}"), "the trust root has media type"},
		{"verification.yaml", []byte("apiVersion: v1\nallOf: []\n"),
			"verification.file: " + s.path("verification.yaml") + ": allOf: is empty"},
		{"verification.yaml",
			[]byte("apiVersion: v1\nallOf: [{kind: githubAction, owner: kubewarden}]\n"),
			"no signature meets allOf[0]"},
	} {
		t.Log(c.why)
		before, err := os.ReadFile(s.path(c.file))
		require.NoError(t, err)
		s.put(c.file, c.content)
		s.requireBad(c.why)
		require.NotEqual(t, first, s.manager.Status().Desired)
		s.put(c.file, before)
		s.requireGood()
		require.Equal(t, first, s.manager.Status().Running,
			"files that are put back have the hash that they had")
	}
	require.NoError(t, os.Remove(s.path("verification.yaml")))
	s.requireBad("verification.file: ")
	s.demand(testEmail)
	s.requireGood()

	s.put("root.json", both(t, f, other))
	for s.manager.Status().Running == first {
		<-s.looked
	}
	s.requireGood()
}

// A change of a root that is not in a file takes effect at once.
func TestRootsThatAreRefreshed(t *testing.T) {
	f := newForge(t)
	s := newServing(t, f)
	refresh := s.holdRoot(f.parts().json(t))
	require.NoError(t, s.start())
	t.Cleanup(func() { s.stop() })
	refresh(newForge(t).parts().json(t))
	s.requireBad("not verified: ")
	refresh(f.parts().json(t))
	s.requireGood()
}

// A saved set is verified with the evidence saved beside it, against the demands and the trust root
// at the start. A different root is not a reason to refuse the set, unless that root does not vouch
// for it.
func TestKeptSetsAreVerifiedAnew(t *testing.T) {
	f, other := newForge(t), newForge(t)
	s := newServing(t, f)
	require.NoError(t, s.start())
	s.stop()
	require.NoError(t, os.Remove(s.path("accept.wasm")))

	s.put("root.json", both(t, f, other))
	require.NoError(t, s.start())
	require.True(t, s.manager.Status().Kept)
	require.Len(t, s.served.Load().Policies(), 1)
	s.stop()

	const refused = "the set that was served last cannot be served instead: "
	s.put("root.json", other.parts().json(t))
	err := s.start()
	require.ErrorContains(t, err, refused)
	require.ErrorContains(t, err, "not verified: ")

	s.put("root.json", f.parts().json(t))
	s.demand("somebody.else@example.com")
	require.ErrorContains(t, s.start(), "no signature meets allOf[0]")

	s.demand(testEmail)
	kept := filepath.Join(s.directory, "state", "last-good", "modules")
	entries, err := os.ReadDir(kept)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.NoError(t,
		os.WriteFile(filepath.Join(kept, entries[0].Name()), []byte("\x00asm\x01\x00\x00\x00"),
			0o600))
	require.ErrorContains(t, s.start(), "is damaged")
}

// If an unchanged set is verified with other evidence, the set is saved again.
func TestWhatASetIsVerifiedByIsKept(t *testing.T) {
	f, other := newForge(t), newForge(t)
	s := newServing(t, f)
	refresh := s.holdRoot(f.parts().json(t))
	require.NoError(t, s.start())
	<-s.kept
	running := s.manager.Status().Running
	refresh(both(t, f, other))
	<-s.kept
	wasm, err := os.ReadFile(s.path("accept.wasm"))
	require.NoError(t, err)
	leaf, key := other.leaf(t, request{})
	s.put("accept.wasm.sigstore.json",
		candidate(t, other.certified(t, fileBundle(t, key, wasm), leaf, time.Now())).Bundle)
	refresh(other.parts().json(t))
	<-s.kept
	require.NoError(t, s.manager.Check())
	require.Equal(t, running, s.manager.Status().Running)
	s.stop()
	require.NoError(t, os.Remove(s.path("accept.wasm")))
	require.NoError(t, s.start(), "the first authority is not trusted any more")
	s.stop()
}
