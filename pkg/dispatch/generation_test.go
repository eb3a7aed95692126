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

package dispatch_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Both phases of a request use one set, even if a policy changes phase in between.
func TestRequestsFinishOnTheirSet(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	first := f.load(t, guest("p", "deny"))
	f.dispatcher.Use(first)
	ctx := request.WithReceivedTimestamp(t.Context(), time.Now())
	require.NoError(t, newConfigMap(t, admission.Create).by(ctx, f))

	second := f.load(t, guest("p", "deny", func(p *wasmadmission.Policy) { p.Mutating = true }))
	f.dispatcher.Use(second)
	first.Close()
	require.Error(t, f.validate(ctx, somebody), "the first set has it validate")
	require.NoError(t, newConfigMap(t, admission.Create).by(ctx, f))
	later := request.WithReceivedTimestamp(t.Context(), time.Now())
	require.Error(t, newConfigMap(t, admission.Create).by(later, f), "the second has it mutate")
	require.NoError(t, f.validate(later, somebody))
	require.NoError(t, f.validate(t.Context(), somebody),
		"who does not say when gets the current set")

	f.dispatcher.Close()
	second.Close()
	require.False(t, first.Acquire())
	require.False(t, second.Acquire())
}

// If sets change all the time, only some of them are kept.
func TestOldSetsAreGivenUp(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	first := f.load(t, guest("p", "deny"))
	f.dispatcher.Use(first)
	ctx := request.WithReceivedTimestamp(t.Context(), time.Now())
	first.Close()
	for range 16 {
		f.use(t, guest("p", "accept"))
	}
	require.Error(t, f.validate(ctx, somebody))
	f.use(t, guest("p", "accept"))
	require.False(t, first.Acquire(), "it is no longer in use")
	for range 2 {
		t.Log("which would be the second set that the request sees")
		require.True(t, apierrors.IsTimeout(f.validate(ctx, somebody)))
		require.True(t, apierrors.IsTimeout(newConfigMap(t, admission.Create).by(ctx, f)))
	}
	require.NoError(t, f.validate(request.WithReceivedTimestamp(t.Context(), time.Now()), somebody))
	f.dispatcher.Use(first)
	require.NoError(t, f.validate(t.Context(), somebody), "a set that has been freed is not used")
}

// signal signals that an evaluation is about to begin.
type signal chan struct{}

func (s signal) Mode(_ string, configured wasmadmission.PolicyMode) wasmadmission.PolicyMode {
	s <- struct{}{}
	return configured
}

// A set that is closed during an evaluation stays until the evaluation has ended.
func TestSetsOutliveTheirRequests(t *testing.T) {
	begun := make(signal)
	f := configured(t, func(c *dispatch.Config) { c.Overrides = begun })
	set := f.load(t, guest("t", "spin", soon))
	f.dispatcher.Use(set)
	ended := make(chan error)
	go func() { ended <- f.validate(t.Context(), somebody) }()
	<-begun
	f.dispatcher.Close()
	set.Close()
	require.True(t, set.Acquire(), "the request has it")
	set.Release()
	require.ErrorContains(t, <-ended,
		"Policy execution interrupted because it exceeded the allowed execution time")
	require.False(t, set.Acquire(), "it is no longer in use")
}

// Every verdict comes from one set, in whatever order sets and requests come.
func TestNoRequestSeesHalfASet(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	mutating := func(p *wasmadmission.Policy) { p.Mutating = true }
	// Each set denies everything, in a different phase.
	one, two := f.load(t, guest("p", "deny")), f.load(t, guest("p", "deny", mutating))
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	f.dispatcher.Use(one)
	turns, done := make(chan int), make(chan struct{})
	go func() {
		defer close(done)
		for n := range turns {
			f.dispatcher.Use([]*policyset.Set{one, two}[n%2])
		}
	}()
	for n := range 2000 {
		ctx := request.WithReceivedTimestamp(t.Context(), time.Now())
		turns <- n
		admitted := newConfigMap(t, admission.Create).by(ctx, f)
		validated := f.validate(ctx, somebody)
		require.NotEqual(t, admitted == nil, validated == nil,
			"mutating phase: %v; validating phase: %v", admitted, validated)
	}
	close(turns)
	<-done
}
