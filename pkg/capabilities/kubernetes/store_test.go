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
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"
)

// newStore returns an empty store that is up to date.
func newStore(t *testing.T, clock *clocktesting.FakeClock) (s *store, held *int64) {
	t.Helper()
	held = new(int64)
	base := newList(newEncoder(podResource, nil))
	s = &store{
		encoder: base.encoder, base: base, changes: map[identity][]byte{}, clock: clock,
		fail: func(err error) { t.Error(err) }, filled: func() {}, resize: func(bytes int64) {
			*held = bytes
		}, fits: func(int64) bool { return true },
	}
	return s, held
}

func TestStoreFollowsAtOnce(t *testing.T) {
	s, _ := newStore(t, clocktesting.NewFakeClock(time.Now()))
	require.NoError(t, s.Replace([]any{object("a", "x"), object("b", "y")}, ""))
	names := func() []string {
		l, err := s.list(t.Context())
		require.NoError(t, err)
		return namesOf(t, l.response)
	}
	require.Equal(t, []string{"a/x", "b/y"}, names())
	require.NoError(t, s.Add(object("a", "z")))
	require.Equal(t, []string{"a/x", "a/z", "b/y"}, names())
	require.NoError(t, s.Delete(object("a", "x")))
	require.NoError(t, s.Delete(object("a", "never")))
	require.NoError(t, s.Update(object("b", "y", "changed")))
	require.Equal(t, []string{"a/z", "b/y"}, names())
	l, err := s.list(t.Context())
	require.NoError(t, err)
	require.Contains(t, string(l.response), "changed")
	same, err := s.list(t.Context())
	require.NoError(t, err)
	require.Same(t, l, same, "shared while nothing changes")
	require.NoError(t, s.Replace([]any{object("c", "c")}, ""))
	require.Equal(t, []string{"c/c"}, names())
}

// The list may lag by a multiple of the time that a merge takes.
func TestStoreKeepsItsPace(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	s, _ := newStore(t, clock)
	list := func() []string {
		l, err := s.list(t.Context())
		require.NoError(t, err)
		return namesOf(t, l.response)
	}
	s.cost = time.Millisecond
	require.NoError(t, s.Add(object("a", "x")))
	require.Empty(t, list(), "it is too early")
	clock.Step(pace*time.Millisecond - 1)
	require.Empty(t, list())
	clock.Step(pace*time.Millisecond + 1)
	require.Equal(t, []string{"a/x"}, list(), "it is too late to serve the old one")

	s.cost = time.Hour
	require.NoError(t, s.Add(object("a", "y")))
	clock.Step(maxPause)
	list() // starts the merge
	clock.Step(maxPause)
	require.Equal(t, []string{"a/x", "a/y"}, list(), "however long it takes")
}

// A reader that waits for a merge gives up when its context ends.
func TestStoreListEndsWithItsContext(t *testing.T) {
	s, _ := newStore(t, clocktesting.NewFakeClock(time.Now()))
	s.since, s.building = s.clock.Now(), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.list(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// The size of the store stays close to that of its list, even if nobody reads it.
func TestStoreHoldsLittleMoreThanItsList(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	s, held := newStore(t, clock)
	var objects []any
	for n := range 2000 {
		objects = append(objects, object("ns", fmt.Sprint("object-", n), "some", "more", "fields"))
	}
	require.NoError(t, s.Replace(objects, ""))
	l, err := s.list(t.Context())
	require.NoError(t, err)
	size := float64(len(l.response))
	require.Less(t, float64(*held), 1.1*size)
	for round := range 20_000 {
		require.NoError(t,
			s.Update(object("ns", fmt.Sprint("object-", round%2000), "some", "more", "field2")))
		s.mu.Lock()
		building := s.building
		require.Less(t, float64(s.held()), 2.3*size)
		s.mu.Unlock()
		if building != nil {
			<-building
			s.mu.Lock()
			require.Less(t, float64(s.held()), 1.2*size, "after it was put together")
			s.mu.Unlock()
		}
	}
}

func TestStoreRefusesWhatIsNoObject(t *testing.T) {
	s, _ := newStore(t, clocktesting.NewFakeClock(time.Now()))
	require.EqualError(t, s.Add("text"), "unexpected object of type string")
	require.EqualError(t, s.Delete("text"), "unexpected object of type string")
	require.EqualError(t, s.Replace([]any{"text"}, ""), "unexpected object of type string")
}
