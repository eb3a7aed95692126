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
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
)

// maxLeases bounds how many Leases of each kind are read. Nobody has as many apiservers. The
// observer asks for one more, which shows that there are too many.
const maxLeases = 200

// Observer reads the Leases of a cluster repeatedly, and records for how long each has not been
// renewed. It is not safe for concurrent use.
type Observer struct {
	leases coordinationclient.LeasesGetter
	place  Place
	clock  clock.PassiveClock
	seen   map[types.UID]sighting
	// first and last are the times of the first and the last look.
	first, last time.Time
	// longest is the longest time between two looks that counts, or 0 if any does. An observer that
	// could not look for an hour does not know that nobody renewed a Lease in that hour.
	longest time.Duration
}

// sighting is a renewTime and when it was first seen.
type sighting struct {
	renewTime string
	at        time.Time
}

// NewObserver returns an observer that has seen nothing. It uses the clock only to measure elapsed
// time.
func NewObserver(leases coordinationclient.LeasesGetter, place Place,
	c clock.PassiveClock) *Observer {
	return &Observer{leases: leases, place: place, clock: c, seen: map[types.UID]sighting{}}
}

// Look returns the Leases with a status and, for apiservers, the identity Leases. A Lease that is
// seen for the first time has Unchanged 0. Look may return one Lease of each kind beyond the limit,
// so that Judge can report it.
func (o *Observer) Look(ctx context.Context) (statuses, identities []Seen, err error) {
	now, before := o.clock.Now(), o.seen
	if o.first.IsZero() {
		o.first, o.last = now, now
	}
	var unseen time.Duration
	if o.longest > 0 {
		unseen = max(0, now.Sub(o.last)-o.longest)
	}
	o.seen = make(map[types.UID]sighting, len(before))
	look := func(selector string) ([]Seen, error) {
		list, err := o.leases.Leases(o.place.Namespace()).
			List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: maxLeases + 1})
		if err != nil {
			return nil, fmt.Errorf("listing Leases in namespace %s: %w", o.place.Namespace(), err)
		}
		var seen []Seen
		for n := range list.Items {
			seen = append(seen, o.see(&list.Items[n], before, now, unseen))
		}
		return seen, nil
	}
	if statuses, err = look(o.place.Selector()); err == nil && o.place == (Place{}) {
		identities, err = look(identitySelector)
	}
	if err != nil {
		o.seen = before
		return nil, nil, err
	}
	o.last = now
	return statuses, identities, nil
}

// see records a Lease. A change of other fields is not a renewal: anyone may label it.
func (o *Observer) see(lease *coordinationv1.Lease, before map[types.UID]sighting, now time.Time,
	unseen time.Duration) Seen {
	renewed := ""
	if lease.Spec.RenewTime != nil {
		renewed = lease.Spec.RenewTime.UTC().Format(time.RFC3339Nano)
	}
	known, found := before[lease.UID]
	if !found || known.renewTime != renewed {
		known = sighting{renewed, now}
	} else {
		known.at = known.at.Add(unseen)
	}
	o.seen[lease.UID] = known
	return Seen{Lease: lease, Unchanged: now.Sub(known.at)}
}
