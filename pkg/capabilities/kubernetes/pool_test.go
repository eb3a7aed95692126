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
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"
)

// occupants returns a pool with occupants, each used one second after the previous one.
func occupants(count int, limit int64) (p *pool, clock *clocktesting.FakeClock, all []*occupant,
	ends map[int]stopReason) {
	clock, ends = clocktesting.NewFakeClock(time.Now()), map[int]stopReason{}
	p = &pool{limit: limit, clock: clock, recorder: discard{}, occupants: map[*occupant]struct{}{}}
	for n := range count {
		t := &occupant{end: func(reason stopReason) { ends[n] = reason }}
		p.add(t)
		clock.Step(time.Second)
		all = append(all, t)
	}
	return p, clock, all, ends
}

func TestPoolDropsWhatWasUsedLongestAgo(t *testing.T) {
	p, clock, all, ends := occupants(4, 100)
	for _, occupant := range all[:3] {
		p.resize(occupant, 30)
	}
	require.Empty(t, ends)
	all[0].touch(clock.Now())
	p.resize(all[3], 20)
	require.Equal(t, map[int]stopReason{1: stopEvicted}, ends)
	require.EqualValues(t, 80, p.bytes)
	p.resize(all[3], 100)
	require.Equal(t, map[int]stopReason{0: stopEvicted, 1: stopEvicted, 2: stopEvicted}, ends,
		"as many as it takes")
	p.resize(all[3], 101)
	require.Equal(t, stopTooLarge, ends[3])
	require.Zero(t, p.bytes)
	require.Empty(t, p.occupants)
	p.resize(all[3], 10)
	p.remove(all[3])
	require.Zero(t, p.bytes, "one that is gone counts no more")
}

func TestPoolBoundsTheNumberOfTenants(t *testing.T) {
	p, _, _, ends := occupants(maxOccupants+2, 100)
	require.Equal(t, map[int]stopReason{0: stopEvicted, 1: stopEvicted}, ends)
	require.Len(t, p.occupants, maxOccupants)
}

// A policy that keeps starting caches displaces its own, and not the less used caches of others.
func TestPoolTakesPlacesOfWhoHasMost(t *testing.T) {
	p, clock, _, ends := occupants(2, 100)
	for range 2 * maxOccupants {
		clock.Step(time.Second)
		p.add(&occupant{owner: "flood", end: func(stopReason) {}})
	}
	require.Empty(t, ends)
	require.Len(t, p.occupants, maxOccupants)
}

func TestPoolLetsIdleTenantsGo(t *testing.T) {
	p, _, all, ends := occupants(3, 100)
	p.resize(all[0], 10)
	p.resize(all[2], 10)
	p.sweep(2*time.Second + 1)
	require.Equal(t, map[int]stopReason{0: stopIdle}, ends)
	require.EqualValues(t, 10, p.bytes)
	p.remove(all[2])
	require.Zero(t, p.bytes)
	require.NotContains(t, ends, 2, "it goes of its own accord")
}
