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

// Package policyset turns a configuration into policies that are ready to evaluate requests: their
// modules are fetched, checked and compiled, and the policies accept their settings.
//
// A policy group is a policy too. An expression combines the answers of its members. Every policy
// is guarded: the number of its concurrent evaluations is limited, and a circuit breaker stops
// evaluating it for a while if it keeps failing.
//
// A [Set] is immutable. A server holds one and may replace it with another at any time. Requests
// finish on the set with which they started.
package policyset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// Policy is a policy or policy group that is ready to evaluate requests. It is safe for concurrent
// use.
type Policy struct {
	// configured is the spec before anything was added from the module. It is nil for a group.
	configured *wasmadmission.Policy
	// sets is the number of sets that the policy is in.
	sets atomic.Int32

	spec         wasmadmission.Policy
	digest       string
	settingsHash string
	omits        []wasmadmission.OmittedField
	evaluator    evaluator
}

// evaluator evaluates the requests of a policy.
type evaluator interface {
	// evaluate answers a request in JSON. An error means that there is no verdict. The usage is
	// also valid with an error.
	evaluate(ctx context.Context, request []byte) (*abi.ValidationResponse, abi.Usage, error)
	// validateSettings asks the policy again whether its settings are valid.
	validateSettings(ctx context.Context) error
	// close frees the evaluator. No evaluation may be running.
	close()
}

// Name returns the policy's name, which is unique in its set.
func (p *Policy) Name() string { return p.spec.Name }

// Spec returns the policy's configuration, with defaults applied, and with rules from the module's
// metadata if the configuration has none. The caller must not change it. For a group, it has the
// fields that groups and policies share, except for the message, which is in the group's responses.
func (p *Policy) Spec() *wasmadmission.Policy { return &p.spec }

// Terms returns the part of the policy's configuration that decides what follows from its answers.
func (p *Policy) Terms() verdict.Terms {
	return verdict.Terms{
		Name:      p.spec.Name,
		Monitor:   p.spec.Mode == wasmadmission.ModeMonitor,
		MayMutate: p.spec.Mutating,
		FailOpen:  p.spec.FailurePolicy == admissionregistrationv1.Ignore,
		Message:   p.spec.Message,
	}
}

// Digest returns the SHA-256 of the policy's module, as "sha256:" and 64 hexadecimal digits. For a
// group, it is the SHA-256 of the lines that sha256sum would print for its members' modules: the
// module's digest, two spaces and the member's name, sorted by name.
func (p *Policy) Digest() string { return p.digest }

// SettingsHash returns the SHA-256 of the policy's settings as JSON, in hexadecimal digits. For a
// group, it is the SHA-256 of lines like those of [Policy.Digest]: one with the hash of the
// expression, named expression, and one for each member with the hash of its settings, named
// spec.policies.<name>.settings.
func (p *Policy) SettingsHash() string { return p.settingsHash }

// Omits returns the fields that are omitted from requests for this policy, both those for all
// policies and its own. The caller must not change the slice.
func (p *Policy) Omits() []wasmadmission.OmittedField { return p.omits }

// Evaluate evaluates an admission request in JSON. Errors have type [*EvaluationError] and mean
// that there is no verdict. The usage is also valid with an error. For a group, it is the total of
// all evaluations of members.
func (p *Policy) Evaluate(ctx context.Context,
	request []byte) (*abi.ValidationResponse, abi.Usage, error) {
	response, usage, err := p.evaluator.evaluate(ctx, request)
	if err != nil {
		return nil, usage, &EvaluationError{Policy: p.Name(), Digest: p.digest, Err: err}
	}
	return response, usage, nil
}

// ValidateSettings asks the policy again whether its settings are valid, as when it was loaded. For
// a group, it asks all members. An error means that the settings of one are not valid, or that it
// did not answer.
func (p *Policy) ValidateSettings(ctx context.Context) error {
	if err := p.evaluator.validateSettings(ctx); err != nil {
		return fmt.Errorf("policy %q: %w", p.Name(), err)
	}
	return nil
}

// Describe sets attributes of a span: the policy, its usage, the cause if it failed, and the
// additional attributes.
func (p *Policy) Describe(span spans.Span, usage abi.Usage, err error, more ...attribute.KeyValue) {
	if !span.Recording() {
		return
	}
	var all [12]attribute.KeyValue // enough for all callers
	attributes := append(all[:0],
		spans.Text(spans.PolicyName, p.Name()), attribute.String(spans.ModuleDigest, p.digest),
		attribute.Int64(spans.Fuel, usage.Fuel),
		attribute.Int64(spans.MemoryBytes, usage.MemoryBytes),
		spans.Seconds(spans.Wait, usage.Wait), spans.Seconds(spans.Reset, usage.Reset))
	span.Set(append(attributes, more...)...)
	if err != nil {
		span.Fail(string(engine.CauseOf(err)))
	}
}

// EvaluationError is the reason why an evaluation ended without a verdict.
type EvaluationError struct {
	// Policy is the policy's name.
	Policy string
	// Digest is the digest of its module.
	Digest string
	// Err is the wrapped error: an engine.Error, an abi.GuestError, an abi.ResponseError or a
	// breaker.OpenError. For a group, it may also be the EvaluationError of a member, or an error
	// of the expression.
	Err error
}

// Error implements the error interface.
func (e *EvaluationError) Error() string {
	return fmt.Sprintf("policy %q: %v", e.Policy, e.Err)
}

// Unwrap returns the wrapped error.
func (e *EvaluationError) Unwrap() error { return e.Err }

// Set is an immutable set of policies, sorted by name. The zero value is an empty set. It is safe
// for concurrent use.
type Set struct {
	policies []*Policy
	lifetime lifetime
}

// Policies returns the policies and groups, sorted by name. The caller must not change the slice.
func (s *Set) Policies() []*Policy { return s.policies }

// free removes the policies from the set. That frees their modules, except for policies that are
// also in another set.
func (s *Set) free() {
	for _, p := range s.policies {
		p.leave()
	}
}

// join adds the policy to one more set.
func (p *Policy) join() *Policy {
	p.sets.Add(1)
	return p
}

// leave removes the policy from a set. After the last set, it frees the module.
func (p *Policy) leave() {
	if p.sets.Add(-1) == 0 {
		p.evaluator.close()
	}
}

// IsMadeOf reports whether the spec and the module with this digest would create the same policy
// again. It is false for groups, which have no such spec.
func (p *Policy) IsMadeOf(spec *wasmadmission.Policy, digest string) bool {
	return p.digest == digest && reflect.DeepEqual(p.configured, spec)
}

// hash returns the SHA-256 in hexadecimal digits.
func hash[T ~string | ~[]byte](data T) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

// lifetime counts the users of a set. The zero value has only the owner.
type lifetime struct {
	// holders is the number of users besides the owner, or -1 if the set has been freed.
	holders atomic.Int64
	closed  atomic.Bool
}

// Acquire keeps the set usable until Release. It returns false if the set has been freed already.
// It takes no lock.
func (s *Set) Acquire() bool {
	for {
		holders := s.lifetime.holders.Load()
		if holders < 0 {
			return false
		}
		if s.lifetime.holders.CompareAndSwap(holders, holders+1) {
			return true
		}
	}
}

// Release ends one Acquire. The last Release of a closed set frees it in the background, so that
// neither a request nor the holder of a lock has to wait.
func (s *Set) Release() {
	if s.lifetime.holders.Add(-1) < 0 {
		go s.free()
	}
}

// Close ends the ownership of whoever loaded the set. The policies' modules are freed before Close
// returns, or by the last Release if the set is still in use. Further calls do nothing.
func (s *Set) Close() {
	if !s.lifetime.closed.Swap(true) && s.lifetime.holders.Add(-1) < 0 {
		s.free()
	}
}
