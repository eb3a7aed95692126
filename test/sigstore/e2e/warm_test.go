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

package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/sigstore/instance"
)

// TestWarmStart measures what verification adds to a start with everything in the store. It loads
// 22 policies with the server's assembly, with and without verification in turns. A third of the
// policies is signed by a key in the older format, a third by an email address, and a third by a
// workflow. See `make bench-verify`.
func TestWarmStart(t *testing.T) {
	const count, rounds = 22, 25
	s := newSuite(t)
	x := &table{suite: s}
	var policies []policy
	who := []identity{
		s.byKey("own", false),
		s.byEmail(email),
		s.byWorkflow(owner+"/"+repository, workflow, ref),
	}
	for n := range count {
		wasm := append(s.wasm[:len(s.wasm):len(s.wasm)], 0, 2, 1, byte(n))
		module := s.deployTo(s.plain, s.image(s.plain, wasm, who[n%len(who)], n%len(who) == 0))
		policies = append(policies, policy{name: fmt.Sprintf("policy-%d", n), module: module})
	}
	state := filepath.Join(t.TempDir(), "state")
	ctx := klog.NewContext(t.Context(), logr.Discard())
	start := func(verification map[string]any) func() error {
		plugin := s.plugin(state,
			map[string]any{
				"verification": verification,
				"compilation":  map[string]any{"mode": "InProcess"},
			}, policies...)
		if verification == nil {
			delete(plugin, "verification")
		}
		return func() error { return load(ctx, s.json(plugin)) }
	}
	verified := start(map[string]any{
		"required": true, "trustRoot": map[string]any{
			"file": s.instance.Path(instance.TrustedRoot),
		}, "config": config(nil, x.demanded(), 1),
	})
	require.NoError(t, verified(), "the first load fetches and compiles")
	cpu, wall, err := figure.Interleave(rounds, 1, start(nil), verified)
	require.NoError(t, err)
	milliseconds := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	figure.Print("start_22_policies_warm_cpu_ms", milliseconds(cpu[0]), "ms")
	figure.Print("verify_22_policies_warm_cpu_ms", milliseconds(cpu[1]-cpu[0]), "ms")
	figure.Print("verify_22_policies_warm_ms", milliseconds(wall[1]-wall[0]), "ms")
}

// load loads the policies as a server does at start.
func load(ctx context.Context, configuration string) error {
	config, err := assembly.Decode([]byte(configuration))
	if err != nil {
		return err
	}
	a, err := assembly.New(ctx, config, assembly.Options{NewChecker: sigstore.ForConfiguration})
	if err != nil {
		return err
	}
	set, problems := a.Loader.Load(ctx, config)
	if set == nil {
		return errors.Join(problems.ToAggregate(), a.Close())
	}
	set.Close()
	return a.Close()
}
