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

// Package policyset turns a configuration into policies that are ready to be
// evaluated: modules fetched, checked and compiled, settings accepted by the
// policies themselves.
//
// A policy group is a policy too: one whose answers are those of its members, combined
// by an expression. Every policy is guarded: it evaluates so many requests at a time,
// and is left alone for a while when it does nothing but fail.
//
// A [Set] is immutable. Whoever serves requests holds one and may exchange it
// for another at any time; requests finish on the set that they started with.
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

// Policy is one policy or policy group, ready to be evaluated. It is safe for concurrent
// use.
type Policy struct {
	// configured is the spec as it was before anything was taken from the module; nil of
	// a group.
	configured *wasmadmission.Policy
	// sets is in how many sets the policy is.
	sets atomic.Int32

	spec         wasmadmission.Policy
	digest       string
	settingsHash string
	omits        []wasmadmission.OmittedField
	evaluator    evaluator
}

// evaluator is what has the answers of a policy.
type evaluator interface {
	// evaluate answers a request, given as JSON. An error means that there is no verdict.
	// What was used up is told of errors too.
	evaluate(ctx context.Context, request []byte) (*abi.ValidationResponse, abi.Usage, error)
	// validateSettings asks once more whether the settings are valid.
	validateSettings(ctx context.Context) error
	// close frees what the evaluator holds. No evaluation may be running.
	close()
}

// Name returns the policy's name, which is unique in its set.
func (p *Policy) Name() string { return p.spec.Name }

// Spec returns the policy's configuration, with defaults applied and with rules
// from the module's metadata where the configuration has none. It must not be
// changed. Of a group it has what the two have in common, but for the message,
// which is in the group's responses.
func (p *Policy) Spec() *wasmadmission.Policy { return &p.spec }

// Terms returns what of the policy's configuration has a say in what its answers come to.
func (p *Policy) Terms() verdict.Terms {
	return verdict.Terms{
		Name:      p.spec.Name,
		Monitor:   p.spec.Mode == wasmadmission.ModeMonitor,
		MayMutate: p.spec.Mutating,
		FailOpen:  p.spec.FailurePolicy == admissionregistrationv1.Ignore,
		Message:   p.spec.Message,
	}
}

// Digest returns the SHA-256 of the policy's module, as "sha256:" and 64
// hexadecimal digits. Of a group, it is the SHA-256 of what sha256sum would print
// for its members' modules: a line for each with the module's digest, two spaces and
// the member's name, in the order of the names.
func (p *Policy) Digest() string { return p.digest }

// SettingsHash returns the SHA-256 of the policy's settings as JSON, in
// hexadecimal digits. Of a group, it is the SHA-256 of such lines as [Policy.Digest]
// has, with the hash of the expression, named expression, and those of the members'
// settings, each named as in spec.policies.<name>.settings.
func (p *Policy) SettingsHash() string { return p.settingsHash }

// Omits returns what the policy is not given of requests: what is left out for all and what is
// for this one. It must not be changed.
func (p *Policy) Omits() []wasmadmission.OmittedField { return p.omits }

// Evaluate asks the policy about an admission request, given as JSON. Errors are
// of type [*EvaluationError]; they mean that there is no verdict. What was used up
// is told of them too; of a group, it is what all evaluations of members used together.
func (p *Policy) Evaluate(ctx context.Context,
	request []byte) (*abi.ValidationResponse, abi.Usage, error) {
	response, usage, err := p.evaluator.evaluate(ctx, request)
	if err != nil {
		return nil, usage, &EvaluationError{Policy: p.Name(), Digest: p.digest, Err: err}
	}
	return response, usage, nil
}

// ValidateSettings asks the policy once more what it was asked when it was loaded: whether it
// can work with its settings. Of a group, all members are asked. An error means that one cannot,
// or did not answer.
func (p *Policy) ValidateSettings(ctx context.Context) error {
	if err := p.evaluator.validateSettings(ctx); err != nil {
		return fmt.Errorf("policy %q: %w", p.Name(), err)
	}
	return nil
}

// Describe tells a span what was evaluated, what that used, why it failed if it did, and
// what more is known of it.
func (p *Policy) Describe(span spans.Span, usage abi.Usage, err error, more ...attribute.KeyValue) {
	if !span.Recording() {
		return
	}
	var all [12]attribute.KeyValue // room enough for all callers
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

// EvaluationError says why an evaluation ended without a verdict.
type EvaluationError struct {
	// Policy is the policy's name.
	Policy string
	// Digest is that of its module.
	Digest string
	// Err is the error underneath: an engine.Error, an abi.GuestError, an
	// abi.ResponseError or a breaker.OpenError. Of a group it may also be the
	// EvaluationError of a member, or what the expression failed with.
	Err error
}

// Error implements the error interface.
func (e *EvaluationError) Error() string {
	return fmt.Sprintf("policy %q: %v", e.Policy, e.Err)
}

// Unwrap returns the error underneath.
func (e *EvaluationError) Unwrap() error { return e.Err }

// Set is an immutable set of policies, in the order of their names. The zero value
// is an empty set. It is safe for concurrent use.
type Set struct {
	policies []*Policy
	lifetime lifetime
}

// Policies returns the policies and groups in the order of their names. The slice must
// not be changed.
func (s *Set) Policies() []*Policy { return s.policies }

// free takes the policies out of the set, which frees their modules unless another set
// has them too.
func (s *Set) free() {
	for _, p := range s.policies {
		p.leave()
	}
}

// join puts the policy into one more set.
func (p *Policy) join() *Policy {
	p.sets.Add(1)
	return p
}

// leave takes the policy out of a set, and frees its module with the last one.
func (p *Policy) leave() {
	if p.sets.Add(-1) == 0 {
		p.evaluator.close()
	}
}

// IsMadeOf is whether a spec and a module of a digest would make the same policy again. No
// group is made of a spec.
func (p *Policy) IsMadeOf(spec *wasmadmission.Policy, digest string) bool {
	return p.digest == digest && reflect.DeepEqual(p.configured, spec)
}

// hash returns the SHA-256 in hexadecimal digits.
func hash[T ~string | ~[]byte](data T) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

// lifetime counts who uses a set. Its zero value has the owner alone.
type lifetime struct {
	// holders are those beside the first; -1 means that the set has been freed.
	holders atomic.Int64
	closed  atomic.Bool
}

// Acquire takes hold of the set: it stays usable until Release. It reports whether
// that is so: false means that it has been freed. It takes no lock.
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

// Release ends what Acquire began. When the last lets go of a set that is closed, it is
// freed on the side: neither a request nor who holds a lock waits for that.
func (s *Set) Release() {
	if s.lifetime.holders.Add(-1) < 0 {
		go s.free()
	}
}

// Close says that whoever loaded the set is done with it. The policies' modules are
// freed before it returns, or when the last who acquired it lets go. Further calls do
// nothing.
func (s *Set) Close() {
	if !s.lifetime.closed.Swap(true) && s.lifetime.holders.Add(-1) < 0 {
		s.free()
	}
}
