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

// Package rego runs guests that the Open Policy Agent's compiler produced from Rego policies
// (https://www.openpolicyagent.org/docs/wasm). The guest parses input and data, and evaluates one
// expression. The host then has the guest print the result as JSON. The compiler does not put all
// built-in functions into the module. The guest calls the others by number: see [Builtins].
//
// Kubewarden distinguishes two kinds of these guests: Open Policy Agent policies, and Gatekeeper
// policies.
package rego

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Guest is a Rego policy. It implements [abi.Guest].
type Guest struct {
	module *engine.Module
	mode   abi.ExecutionMode
	// builtins are the host's functions that the guest requires, by number.
	builtins map[int32]namedBuiltin
	// entrypoints maps the names of the expressions that the guest can evaluate to their numbers.
	entrypoints map[string]int32

	states *states
	// last is the state with the data of the latest evaluation. Guarded by states.mu.
	last *state
	// making counts the running goroutines that make states for this policy.
	making sync.WaitGroup
	// rest is derived from the latest settings.
	rest atomic.Pointer[settingsRest]
}

var _ abi.Guest = &Guest{}

// Load compiles a Rego policy for an execution mode: [abi.ExecutionModeOPA] or
// [abi.ExecutionModeGatekeeper]. It fails if builtins lacks a function that the policy requires,
// and names all missing ones. Nil builtins provide no function. Policies with the same binary share
// code.
func Load(ctx context.Context, e *engine.Engine, wasm []byte, mode abi.ExecutionMode,
	builtins Builtins) (*Guest, error) {
	if mode != abi.ExecutionModeOPA && mode != abi.ExecutionModeGatekeeper {
		return nil, fmt.Errorf("execution mode %q is not an execution mode of Rego policies", mode)
	}
	module, err := e.Load(ctx, wasm, convention)
	if err != nil {
		return nil, err
	}
	g := &Guest{
		module: module,
		mode:   mode,
		states: module.Shared(func() any { return &states{} }).(*states),
	}
	if err := g.describe(ctx, builtins); err != nil {
		module.Close()
		return nil, err
	}
	return g, nil
}

// Validate implements [abi.Guest].
func (g *Guest) Validate(ctx context.Context, env *abi.Environment, request,
	settings []byte) (*abi.ValidationResponse, abi.Usage, error) {
	if env.Inventory != nil {
		var cancel context.CancelFunc
		ctx, cancel = within(ctx, env.Timeout)
		defer cancel()
	}
	start := time.Now()
	d, err := g.documents(ctx, env, request, settings)
	if err != nil {
		return nil, abi.Usage{}, err
	}
	result, usage, err := g.evaluate(ctx, env, d)
	if err != nil {
		return nil, usage, err
	}
	if g.mode == abi.ExecutionModeGatekeeper {
		response, err := decodeViolations(result)
		return response, usage, err
	}
	response, err := decodeReview(result, request,
		patcher{limit: env.Limits.ResponseBytes, left: maxPatchWork, goOn: func() error {
			if ctx.Err() != nil {
				return g.failure(engine.CauseCanceled, context.Cause(ctx))
			}
			if env.Timeout > 0 && time.Since(start) > env.Timeout {
				return g.failure(engine.CauseDeadline, context.DeadlineExceeded)
			}
			return nil
		}})
	return response, usage, err
}

// ValidateSettings implements [abi.Guest]. Rego policies accept any settings.
func (g *Guest) ValidateSettings(context.Context, *abi.Environment,
	[]byte) (*abi.SettingsValidationResponse, error) {
	return &abi.SettingsValidationResponse{Valid: true}, nil
}

var errNoProtocolVersion = errors.New("protocol_version is only applicable to a Kubewarden policy")

// ProtocolVersion implements [abi.Guest]. It always fails, because a Rego policy cannot be asked.
func (g *Guest) ProtocolVersion(context.Context, *abi.Environment) (string, error) {
	return "", errNoProtocolVersion
}

// Entrypoints returns the names of the policy's entrypoints, ordered by number. Evaluations use the
// first one. The names come from the guest and are not trustworthy.
func (g *Guest) Entrypoints() []string {
	return slices.SortedFunc(maps.Keys(g.entrypoints), func(a, b string) int {
		return cmp.Or(cmp.Compare(g.entrypoints[a], g.entrypoints[b]), cmp.Compare(a, b))
	})
}

// Close implements [abi.Guest].
func (g *Guest) Close() {
	g.release(g.last)
	g.making.Wait()
	g.module.Close()
}

// Query evaluates the policy's first entrypoint and returns its result set. Both input and data are
// JSON, in the caller's own layout. An empty input is undefined. The caller must not change the
// data afterwards. Query is for callers whose documents differ from those of Kubewarden's policies.
func (g *Guest) Query(ctx context.Context, env *abi.Environment, input,
	data []byte) ([]byte, abi.Usage, error) {
	return g.evaluate(ctx, env,
		documents{input: text{input}, data: text{data}, limited: int64(len(input) + len(data))})
}

// evaluate evaluates the policy in the guest. It returns the result set and the resources used.
func (g *Guest) evaluate(ctx context.Context, env *abi.Environment,
	d documents) ([]byte, abi.Usage, error) {
	if limit := min(env.Limits.RequestBytes, math.MaxInt32); d.limited > limit {
		return nil, abi.Usage{},
			g.failure(engine.CauseLimit, &engine.LimitError{
				Limit:   abi.LimitRequestBytes,
				Value:   d.limited,
				Max:     limit,
				Setting: "limits.requestSize",
			})
	}
	if size := d.data.size(); size > math.MaxInt32 {
		return nil, abi.Usage{}, g.failure(engine.CauseLimit,
			&engine.LimitError{Limit: "bytes of data", Value: size, Max: math.MaxInt32})
	}
	if d.data.size() < minShared {
		return g.run(ctx, env, d, nil)
	}
	ctx, cancel := within(ctx, env.Timeout)
	defer cancel()
	s, err := g.parsed(ctx, env, d.data)
	if err != nil {
		return nil, abi.Usage{}, err
	}
	defer g.release(s)
	return g.run(ctx, env, d, s)
}

// within limits a context to an evaluation's time, which includes the preparations before the guest
// runs. A zero timeout leaves the limit to the engine.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// run evaluates the policy in the given state of the data. If the state is nil, the guest parses
// the data first.
func (g *Guest) run(ctx context.Context, env *abi.Environment, d documents,
	s *state) (_ []byte, usage abi.Usage, _ error) {
	var from source = g.module
	if s != nil {
		from = s.derived
	}
	i, err := acquire(ctx, from, &evaluation{env: env, builtins: g.builtins}, env.Timeout)
	if err != nil {
		return nil, abi.Usage{}, err
	}
	defer func() { usage = abi.Usage(i.Release()) }()
	result, err := g.query(i, d, s, env.Limits.ResponseBytes)
	return result, usage, err
}

// source provides instances: a module, or a derived state of it.
type source interface {
	Acquire(context.Context, engine.Evaluation) (*engine.Instance, error)
}

func acquire(ctx context.Context, from source, state *evaluation,
	timeout time.Duration) (*engine.Instance, error) {
	i, err := from.Acquire(ctx, engine.Evaluation{State: state, Timeout: timeout})
	if err != nil {
		return nil, fmt.Errorf("initialization failed: %w", err)
	}
	return i, nil
}

// query evaluates the policy, and converts the host's own errors into engine errors.
func (g *Guest) query(i *engine.Instance, d documents, s *state,
	limit int64) (_ []byte, err error) {
	var data uint32
	if s != nil {
		data = s.address
	} else if data, err = parse(i, "data", d.data); err != nil {
		return nil, g.located(err)
	}
	result, err := query(i, d.input, data)
	if err != nil {
		return nil, g.located(err)
	}
	text, err := dump(i, "response", result, limit)
	return text, g.located(err)
}

// located adds the module to an error that is not an engine error. Engine errors name the module
// themselves.
func (g *Guest) located(err error) error {
	switch {
	case err == nil || errors.As(err, new(*engine.Error)):
		return err
	case engine.CauseOf(err) != engine.CauseOther: // the host's work ran out of fuel or time
		return g.failure(engine.CauseOf(err), err)
	case errors.As(err, new(*engine.LimitError)):
		return g.failure(engine.CauseLimit, err)
	}
	return g.failure(engine.CauseAbort, err)
}

func (g *Guest) failure(cause engine.Cause, err error) error {
	return &engine.Error{Digest: g.module.Digest(), Phase: engine.PhaseCall, Cause: cause, Err: err}
}
