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
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestTurnsAreOfOnePolicy(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	turns := newTurns(clock)
	for range startBurst {
		require.NoError(t, turns.wait(t.Context(), "flood"))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	waiting := make(chan error)
	for range 100 {
		go func() { waiting <- turns.wait(ctx, "flood") }()
	}
	for range startBurst {
		require.NoError(t, turns.wait(t.Context(), "other"), "another policy does not wait")
	}
	for range 3 { // one caller at a time has its turn
		require.Eventually(t, clock.HasWaiters, time.Minute, time.Millisecond)
		clock.Step(time.Second / startRate)
		require.NoError(t, <-waiting)
	}
	gone := errors.New("gone")
	cancel(gone)
	for range 97 {
		require.ErrorIs(t, <-waiting, gone)
	}
	require.Empty(t, turns.heads, "nothing is left of a queue")
	clock.Step(2 * time.Second / startRate)
	require.NoError(t, turns.wait(t.Context(), "flood"), "who gave up has taken nothing")
}

func TestLimitersAtRestAreForgotten(t *testing.T) {
	now := time.Now()
	l := newLimiters(1, 2)
	for n := range 100 * minLimiters {
		policy := fmt.Sprint("policy-", n)
		require.True(t, l.of(policy, now).AllowN(now, 1))
		require.LessOrEqual(t, len(l.policies), minLimiters)
		now = now.Add(time.Second)
	}
	for range 2 {
		require.True(t, l.of("busy", now).AllowN(now, 1))
	}
	for n := range 2 * minLimiters {
		l.of(fmt.Sprint("other-", n), now)
	}
	require.False(t, l.of("busy", now).AllowN(now, 1), "one that is not at rest is kept")
}
