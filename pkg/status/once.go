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

package status

import (
	"context"
	"time"

	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
)

const (
	// lookEvery is how often Once looks while it waits for renewals.
	lookEvery = time.Second
	// identityPatience is how long Once watches an identity Lease, which is renewed every 10
	// seconds.
	identityPatience = 15 * time.Second
	identityLimit    = renewalsADuration * DefaultRenewEvery
)

// Once creates a table for a caller who has not observed the servers before. It compares the
// renewTimes of all Leases with the latest of them, and never with its own clock. If one seems
// late, clocks may be wrong. Then Once watches until each Lease has been renewed or should have
// been, but no longer than most. Before it waits, it calls early, unless that is nil, with the
// table that trusts all clocks.
func Once(ctx context.Context, leases coordinationclient.LeasesGetter, place Place,
	c clock.WithTicker, most time.Duration, early func(*Table)) (*Table, error) {
	w := &onlooker{observer: NewObserver(leases, place, c), most: most}
	for first := true; ; first = false {
		statuses, identities, err := w.observer.Look(ctx)
		if err != nil {
			return nil, err
		}
		if w.settle(statuses, identities) {
			return Judge(statuses, identities), nil
		}
		if first && early != nil {
			early(Judge(statuses, identities))
		}
		timer := c.NewTimer(lookEvery)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

// onlooker decides which servers are late.
type onlooker struct {
	observer *Observer
	most     time.Duration
	// suspicious is set once a Lease seems late.
	suspicious bool
}

// settle sets for how long each Lease has not been renewed. It reports whether that is certain.
func (w *onlooker) settle(statuses, identities []Seen) bool {
	latest, hosts := time.Time{}, map[string]bool{}
	for _, seen := range [][]Seen{statuses, identities} {
		for n := range seen {
			if at := seen[n].renewTime(); at.After(latest) {
				latest = at
			}
		}
	}
	for n := range statuses {
		if r, err := Decode(statuses[n].Lease); err == nil {
			hosts[r.Host] = true
		}
	}
	suspicious, settled, elapsed := false, true, w.observer.last.Sub(w.observer.first)
	look := func(seen *Seen, limit, patience time.Duration) {
		if seen.Unchanged < elapsed {
			return // it was renewed while we watched
		}
		age := latest.Sub(seen.renewTime())
		suspicious = suspicious || age > limit
		switch watched := elapsed >= patience; {
		case watched && w.suspicious:
			age = max(age, limit+time.Second)
		case elapsed < w.most:
			settled = false
		}
		seen.Unchanged = age
	}
	for n := range statuses {
		limit := durationOf(statuses[n].Lease)
		look(&statuses[n], limit, limit/renewalsADuration*5/4+lookEvery)
	}
	for n := range identities {
		if !hosts[line(identities[n].Lease.Labels[hostLabel], maxNameBytes)] {
			look(&identities[n], identityLimit, identityPatience)
		}
	}
	if !w.suspicious && !suspicious {
		return true
	}
	w.suspicious = true
	return settled
}

// renewTime returns the renewTime of the Lease, or zero if it has none.
func (s *Seen) renewTime() time.Time {
	if s.Lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return s.Lease.Spec.RenewTime.Time
}
