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

package evaluation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/admissiontest"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/session"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// Shell runs test cases. Only recorded sessions answer host calls. It is safe for concurrent use.
// Close it after use.
type Shell struct {
	evaluator *Evaluator

	mu     sync.Mutex
	loaded map[loadKey]*loadedPolicy
}

var _ admissiontest.Shell = &Shell{}

// loadKey identifies a loaded policy.
type loadKey struct {
	module, mode, settings string
	contextAware           bool
}

// loadedPolicy is loaded by the first case that needs it.
type loadedPolicy struct {
	once   sync.Once
	policy *Policy
	err    error
}

// NewShell returns a shell.
func NewShell(evaluator *Evaluator) *Shell {
	return &Shell{evaluator: evaluator, loaded: map[loadKey]*loadedPolicy{}}
}

// Close frees the policies of all cases. No case may be running.
func (s *Shell) Close() {
	for _, l := range s.loaded {
		if l.policy != nil {
			l.policy.Close()
		}
	}
}

// Review implements [admissiontest.Shell].
func (s *Shell) Review(ctx context.Context,
	c *admissiontest.Case) (*review.Request, *review.Response, error) {
	policy, done, err := s.policy(ctx, c)
	if refused := (*SettingsError)(nil); errors.As(err, &refused) {
		return nil, nil, &admissiontest.SettingsError{Message: refused.Problem}
	}
	if err != nil || c.Request == nil {
		return nil, nil, err
	}
	request, err := policy.ParseRequest(c.Request, c.Raw, review.Object{})
	if err != nil {
		return nil, nil, fmt.Errorf("request: %s: %w", c.RequestPath, err)
	}
	response := policy.Review(ctx, request)
	return request, response, done()
}

// policy returns the policy of a case. It also returns a function that checks at the end whether
// the policy used all exchanges of its session.
func (s *Shell) policy(ctx context.Context, c *admissiontest.Case) (*Policy, func() error, error) {
	if c.Session != "" {
		return s.replaying(ctx, c)
	}
	key := loadKey{c.Module, c.ExecutionMode, string(c.Settings), c.AllowContextAware}
	s.mu.Lock()
	l := s.loaded[key]
	if l == nil {
		l = &loadedPolicy{}
		s.loaded[key] = l
	}
	s.mu.Unlock()
	l.once.Do(func() { l.policy, l.err = s.load(ctx, c, session.NewReplay(nil)) })
	return l.policy, func() error { return nil }, l.err
}

func (s *Shell) replaying(ctx context.Context,
	c *admissiontest.Case) (*Policy, func() error, error) {
	text, err := os.ReadFile(c.Session)
	if err != nil {
		return nil, nil, err
	}
	recorded, err := session.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.Session, err)
	}
	replay := session.NewReplay(recorded)
	policy, err := s.load(ctx, c, replay)
	if err != nil {
		return nil, nil, err
	}
	return policy, func() error {
		policy.Close()
		if left := replay.Left(); len(left) > 0 {
			return fmt.Errorf("%s: %d of the recorded exchanges were not asked for, first %s",
				c.Session, len(left), left[0].Request)
		}
		return nil
	}, nil
}

func (s *Shell) load(ctx context.Context, c *admissiontest.Case,
	replay *session.Replay) (*Policy, error) {
	uri, err := sources.URI(c.Module)
	if err != nil {
		return nil, err
	}
	mode, err := ParseExecutionMode(c.ExecutionMode)
	if err != nil {
		return nil, err
	}
	all, err := capabilities.ParsePatterns([]string{"*"})
	if err != nil {
		return nil, err
	}
	return s.evaluator.Load(ctx, Module{
		URI: uri, Mode: mode, Settings: c.Settings, AllowContextAware: c.AllowContextAware,
		Capabilities: all, Answers: host.Replay(replay),
	})
}
