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

package topdown_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// cluster returns an inventory of about the given size in bytes: Ingresses with a host each.
func cluster(mode abi.ExecutionMode, size int) inventory {
	var objects []string
	for n := 0; len(objects)*220 < size; n++ {
		objects = append(objects,
			fmt.Sprintf(
				`"i%d":{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"i%d","namespace":"shop","labels":{"app":"web","team":"shop"}},"spec":{"rules":[{"host":"h%d.example.com","http":{"paths":[]}}]}}`,
				n, n, n))
	}
	text := strings.Join(objects, ",")
	if mode == abi.ExecutionModeOPA {
		return inventory(`{"ingresses":{"shop":{` + text + `}}}`)
	}
	return inventory(`{"namespace":{"shop":{"networking.k8s.io/v1":{"Ingress":{` + text + `}}}}}`)
}

// An evaluation burns the same fuel with and without a cluster of any size. Parsing would burn
// hundreds of units for each byte.
func TestEvaluationsDoNotParseTheCluster(t *testing.T) {
	guest := load(t, "team-label", abi.ExecutionModeOPA)
	env := environment()
	fuel := func() int64 {
		got, usage, err := guest.Validate(t.Context(), env,
			read(t, "team-label", "testdata", "pod-create.json"), []byte(teams))
		require.NoError(t, err)
		require.True(t, got.Accepted, got.Message)
		return usage.Fuel
	}
	without := fuel()
	large := cluster(abi.ExecutionModeOPA, 1<<20)
	require.Less(t, without, int64(len(large)))
	env.Inventory = large
	for range 3 {
		require.Less(t, fuel(), 2*without)
	}
}

// changing is a cluster that changes beside a thousand objects that do not. Its n-th version has an
// Ingress for the host "vn.example.com", and no other with such a name.
type changing struct {
	version atomic.Int64
	mu      sync.Mutex
	built   int64
	text    []byte
}

func (c *changing) Inventory(context.Context, abi.ExecutionMode) ([]byte, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if version := c.version.Load(); c.text == nil || c.built != version {
		c.built = version
		before, after, _ := strings.Cut(string(cluster(abi.ExecutionModeGatekeeper, 100<<10)),
			`"Ingress":{`)
		c.text = fmt.Appendf(nil,
			`%s"Ingress":{"latest":{"spec":{"rules":[{"host":"v%d.example.com"}]}},%s`, before,
			version, after)
	}
	return c.text, uint64(c.built), nil
}

// seen returns the version in [first, first+10) that an evaluation saw.
func (c *changing) seen(ctx context.Context, guest *rego.Guest, first int64) (int64, error) {
	var rules []string
	for n := range int64(10) {
		rules = append(rules, fmt.Sprintf(`{"host":"v%d.example.com"}`, first+n))
	}
	env := environment()
	env.Inventory = c
	request := `{"namespace":"shop","name":"new","object":{"spec":{"rules":[` +
		strings.Join(rules, ",") + `]}}}`
	got, _, err := guest.Validate(ctx, env, []byte(request), []byte(`{}`))
	if err != nil {
		return 0, err
	}
	var version int64
	if _, err := fmt.Sscanf(got.Message, "host v%d.example.com belongs to Ingress shop/latest",
		&version); err != nil {
		return 0, fmt.Errorf("%w: %q", err, got.Message)
	}
	return version, nil
}

func TestTheNextEvaluationSeesTheChange(t *testing.T) {
	guest := load(t, "unique-ingress-host", abi.ExecutionModeGatekeeper)
	c := &changing{}
	for version := range int64(5) {
		c.version.Store(version)
		for range 2 {
			seen, err := c.seen(t.Context(), guest, max(0, version-5))
			require.NoError(t, err)
			require.Equal(t, version, seen)
		}
	}
}

// An evaluation never sees a cluster older than its own start. This holds while the cluster changes
// during many evaluations, and while some of them give up.
func TestEvaluationsDuringChanges(t *testing.T) {
	guest := load(t, "unique-ingress-host", abi.ExecutionModeGatekeeper)
	c := &changing{}
	var group sync.WaitGroup
	for worker := range 6 {
		group.Go(func() {
			for n := range 20 {
				if worker == 0 {
					c.version.Add(1)
				}
				ctx, cancel := context.WithCancel(context.Background())
				if worker == 1 {
					cancel()
				}
				from := c.version.Load()
				version, err := c.seen(ctx, guest, from)
				cancel()
				switch to := c.version.Load(); {
				case worker == 1 && errors.Is(err, context.Canceled):
				case err != nil && to < from+10:
					t.Errorf("worker %d, evaluation %d: %v", worker, n, err)
				case err == nil && (version < from || version > to):
					t.Errorf("worker %d, evaluation %d: saw version %d, not %d to %d", worker, n,
						version, from, to)
				}
			}
		})
	}
	group.Wait()
}

// A cluster that cannot be parsed is an error, not an empty cluster.
func TestAClusterThatCannotBeParsedFailsTheEvaluation(t *testing.T) {
	large := cluster(abi.ExecutionModeGatekeeper, 100<<10)
	for _, test := range []struct {
		name      string
		inventory inventory
		limits    engine.Limits
		cause     engine.Cause
		err       string
	}{
		{"no JSON", append(large[:len(large):len(large)], 'x'), engine.Limits{}, engine.CauseAbort,
			"derive: the guest cannot parse its data"},
		{"fuel", large, engine.Limits{Fuel: 10_000_000}, engine.CauseFuel,
			"derive of opa_json_parse: limit exceeded: "},
		{"memory", large, engine.Limits{MemoryBytes: 1 << 20}, engine.CauseAbort,
			"derive of opa_json_parse: Guest call failure: opa_malloc: failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := engine.New(engine.Options{Compilation: engine.InProcess, Limits: test.limits})
			require.NoError(t, err)
			defer func() { require.NoError(t, e.Close()) }()
			guest, err := rego.Load(t.Context(), e, read(t, "unique-ingress-host", "policy.wasm"),
				abi.ExecutionModeGatekeeper, topdown.Builtins{})
			require.NoError(t, err)
			defer guest.Close()
			env := environment()
			env.Inventory = test.inventory
			request := read(t, "unique-ingress-host", "testdata", "ingress-create.json")
			for range 2 {
				_, _, err = guest.Validate(t.Context(), env, request, []byte(`{}`))
				require.ErrorContains(t, err,
					fmt.Sprintf("parsing %d bytes of data: module sha256:",
						len(`{"inventory":}`)+len(test.inventory)))
				require.ErrorContains(t, err, test.err)
				require.Equal(t, test.cause, engine.CauseOf(err))
			}
			env.Inventory = nil
			_, _, err = guest.Validate(t.Context(), env, request, []byte(`{}`))
			require.NoError(t, err)
		})
	}
}
