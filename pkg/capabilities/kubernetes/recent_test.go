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

package kubernetes

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// reviewer is a capability that only answers can_i, and counts the questions to its authorizer.
type reviewer struct {
	*Kubernetes
	clock *clocktesting.FakeClock
	asked int
}

func newReviewer(t *testing.T, bounds AnswerCache) *reviewer {
	t.Helper()
	r := &reviewer{clock: clocktesting.NewFakeClock(time.Now())}
	config := &rest.Config{Host: "127.0.0.1:0"} // no request is sent there
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	r.Kubernetes, err = New(t.Context(), Options{
		Client: client, Discovery: kinds, User: &user.DefaultInfo{Name: "eyes"}, CanI: bounds,
		Clock: r.clock,
		Authorizer: authorizer.AuthorizerFunc(func(context.Context,
			authorizer.Attributes) (authorizer.Decision, string, error) {
			r.asked++
			return authorizer.DecisionAllow, "", nil
		}),
	})
	require.NoError(t, err)
	return r
}

// ask asks about a user, and returns how often the authorizer was asked.
func (r *reviewer) ask(t *testing.T, name string) int {
	t.Helper()
	before := r.asked
	_, err := r.Call(t.Context(), &capabilities.Caller{}, canI,
		fmt.Appendf(nil,
			`{"subject_access_review":{"user":%q,"resource_attributes":{"resource":"pods","verb":"list"}}}`,
			name))
	require.NoError(t, err)
	return r.asked - before
}

func TestAnswersAreKeptWithinBounds(t *testing.T) {
	t.Run("age", func(t *testing.T) {
		r := newReviewer(t, AnswerCache{TTL: time.Minute})
		require.Equal(t, 1, r.ask(t, "a"))
		r.clock.Step(time.Minute - 1)
		require.Zero(t, r.ask(t, "a"))
		r.clock.Step(1)
		require.Equal(t, 1, r.ask(t, "a"))
	})
	t.Run("age by default", func(t *testing.T) {
		r := newReviewer(t, AnswerCache{})
		require.Equal(t, 1, r.ask(t, "a"))
		r.clock.Step(defaultCacheTTL - 1)
		require.Zero(t, r.ask(t, "a"))
		r.clock.Step(1)
		require.Equal(t, 1, r.ask(t, "a"))
	})
	t.Run("number", func(t *testing.T) {
		r := newReviewer(t, AnswerCache{Entries: 2})
		for _, name := range []string{"a", "b", "c"} {
			require.Equal(t, 1, r.ask(t, name))
		}
		require.Zero(t, r.ask(t, "c"))
		require.Zero(t, r.ask(t, "b"))
		require.Equal(t, 1, r.ask(t, "a"), "was used before the others")
	})
	t.Run("size", func(t *testing.T) {
		// The question is larger than the answer.
		r := newReviewer(t, AnswerCache{Bytes: 2000})
		long := strings.Repeat("x", 800)
		for _, name := range []string{"a" + long, "b" + long, "c" + long} {
			require.Equal(t, 1, r.ask(t, name))
		}
		require.Zero(t, r.ask(t, "c"+long))
		require.Equal(t, 1, r.ask(t, "a"+long))
		require.LessOrEqual(t, r.reviews.Bytes(), int64(2000))
	})
	t.Run("larger than all", func(t *testing.T) {
		r := newReviewer(t, AnswerCache{Bytes: 200})
		require.Equal(t, 1, r.ask(t, strings.Repeat("x", 200)))
		require.Equal(t, 1, r.ask(t, strings.Repeat("x", 200)))
		require.Zero(t, r.reviews.Len())
	})
}
