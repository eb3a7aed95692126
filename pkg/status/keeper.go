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
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// What a look and its write may take, and how soon one comes after another.
const (
	roundTimeout = 10 * time.Second
	leastPause   = time.Second
)

// KeeperOptions say what is kept up, and how. Leases, Host, Address and Report are required.
type KeeperOptions struct {
	// Leases is a client of the server itself.
	Leases coordinationclient.LeasesGetter
	// Place is where the Lease is. Default: that of apiservers.
	Place Place
	// Host is the host's name, and Address is where the server serves, as host:port: no two
	// servers of a cluster may have both in common.
	Host, Address string
	// Report returns what there is to say now. Instance, Host and Address are filled in.
	Report func() Report
	// Observe is told what is known of all servers, after each look; nil is not told.
	Observe func(*Table)
	// RenewEvery is how often the Lease is renewed while nothing changes. Default:
	// DefaultRenewEvery. The Lease lasts three renewals.
	RenewEvery time.Duration
	// Clock is for tests. Default: the system's.
	Clock clock.WithTicker
}

// Keeper keeps the Lease of a server up, and removes those of servers that have ended
// without doing so. Nothing depends on it: what fails is tried again later.
type Keeper struct {
	o        KeeperOptions
	instance string
	changed  chan struct{}
	observer *Observer

	// What follows only Run touches, and Remove once that has ended.
	held *coordinationv1.Lease // as it was written last; nil: not known
	// own is whether the Lease of this server's name has been written by this process.
	own bool
	// displaced is whether another process holds the Lease of this server's name.
	displaced bool
}

// NewKeeper returns a keeper that has written nothing yet.
func NewKeeper(o KeeperOptions) *Keeper {
	o.RenewEvery = cmp.Or(o.RenewEvery, DefaultRenewEvery)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	observer := NewObserver(o.Leases, o.Place, o.Clock)
	// Less than a Lease lasts: what was alive before nobody could look is so afterwards.
	observer.longest = 2 * max(o.RenewEvery, leastDuration/renewalsADuration)
	return &Keeper{
		o:        o,
		instance: hex.EncodeToString(random[:]),
		changed:  make(chan struct{}, 1),
		observer: observer,
	}
}

// Changed says that there is something new to tell. It does not wait, and may be called at
// any time.
func (k *Keeper) Changed() {
	select {
	case k.changed <- struct{}{}:
	default: // it is known already
	}
}

// Run keeps the Lease up until ctx ends. It is called once.
func (k *Keeper) Run(ctx context.Context) {
	backoff := k.backoff()
	for ctx.Err() == nil {
		pause := wait.Jitter(k.o.RenewEvery, 0.1) - k.o.RenewEvery/10
		if err := k.round(ctx); err != nil && ctx.Err() == nil {
			pause = min(backoff.Step(), k.o.RenewEvery)
			klog.FromContext(ctx).
				Info(
					"The status could not be told, which keeps nobody from serving. It is tried again",
					"lease", k.name(), "in", pause, "err", err)
		} else {
			backoff = k.backoff()
		}
		k.pause(ctx, pause)
	}
}

func (k *Keeper) backoff() wait.Backoff {
	return wait.Backoff{
		Duration: leastPause,
		Factor:   2,
		Jitter:   0.2,
		Steps:    16,
		Cap:      k.o.RenewEvery,
	}
}

// pause waits until there is something to do, and a little at least: whoever changes files
// all the time must not have the server write all the time.
func (k *Keeper) pause(ctx context.Context, pause time.Duration) {
	least := min(leastPause, k.o.RenewEvery)
	if !k.sleep(ctx, least, nil) {
		return
	}
	k.sleep(ctx, pause-least, k.changed)
}

// sleep is whether it has slept that long.
func (k *Keeper) sleep(ctx context.Context, pause time.Duration, wake <-chan struct{}) bool {
	timer := k.o.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-wake:
	case <-ctx.Done():
	}
	return false
}

// round tells the status, looks at those of others, and removes what nobody renews.
func (k *Keeper) round(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic while the status was told: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	errWrite := k.write(ctx)
	statuses, identities, err := k.observer.Look(ctx)
	if err != nil {
		return errors.Join(errWrite, err)
	}
	if k.o.Observe != nil {
		k.o.Observe(Judge(statuses, identities))
	}
	return errors.Join(errWrite, k.comeBack(ctx, statuses), k.collect(ctx, statuses))
}

// name is that of the Lease that this process writes now.
func (k *Keeper) name() string {
	name := k.o.Place.Name(k.o.Host, k.o.Address)
	if k.displaced {
		name += "-" + k.instance
	}
	return name
}

// write creates or renews the Lease.
func (k *Keeper) write(ctx context.Context) error {
	const tries = 4
	var err error
	for range tries {
		var again bool
		if again, err = k.tryWrite(ctx); !again {
			return err
		}
	}
	return err
}

// tryWrite writes once, and says whether to write again as things are other than thought.
func (k *Keeper) tryWrite(ctx context.Context) (again bool, err error) {
	leases := k.o.Leases.Leases(k.o.Place.Namespace())
	lease, err := k.o.Place.encode(k.name(), k.report(), k.o.RenewEvery)
	if err != nil {
		return false, err
	}
	now := metav1.NewMicroTime(k.o.Clock.Now())
	lease.Spec.RenewTime, lease.Spec.AcquireTime = &now, &now
	if k.held == nil {
		found, err := leases.Get(ctx, lease.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			created, err := leases.Create(ctx, lease, metav1.CreateOptions{})
			return k.wrote(created, err)
		case err != nil:
			return false, err
		case k.own && !k.displaced && instanceOf(found) != k.instance:
			return true, k.giveWay(ctx)
		}
		// What is left by an earlier process of this server is taken over at once.
		k.held = found
	}
	lease.ResourceVersion, lease.UID = k.held.ResourceVersion, k.held.UID
	if k.own && k.held.Spec.AcquireTime != nil {
		lease.Spec.AcquireTime = k.held.Spec.AcquireTime
	}
	updated, err := leases.Update(ctx, lease, metav1.UpdateOptions{})
	return k.wrote(updated, err)
}

// wrote notes what came of a write.
func (k *Keeper) wrote(lease *coordinationv1.Lease, err error) (again bool, _ error) {
	if err != nil {
		k.held = nil
		return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) ||
			apierrors.IsNotFound(err), err
	}
	k.held, k.own = lease, true
	return false, nil
}

// report is what there is to say, and by whom.
func (k *Keeper) report() Report {
	r := k.o.Report()
	r.Instance, r.Host, r.Address = k.instance, k.o.Host, k.o.Address
	if k.displaced {
		r.FailureCount = max(r.FailureCount, len(r.Failures)) + 1
		r.Failures = append([]string{
			"another server renews Lease " + k.o.Place.Name(k.o.Host, k.o.Address) +
				", which is this one's: give them host names or addresses that differ",
		}, r.Failures...)
	}
	return r
}

// giveWay has this process write another Lease, as somebody has written its own since it
// did. They would overwrite each other without an end.
func (k *Keeper) giveWay(ctx context.Context) error {
	err :=
		errors.New(
			"another server renews the Lease of this one: give them host names or addresses that differ")
	klog.FromContext(ctx).Error(err, "The status is told by a further Lease", "lease", k.name())
	k.displaced, k.held = true, nil
	return err
}

// comeBack takes the Lease of this server's name again once nobody renews it any more.
func (k *Keeper) comeBack(ctx context.Context, statuses []Seen) error {
	if !k.displaced {
		return nil
	}
	for _, seen := range statuses {
		if seen.Lease.Name == k.o.Place.Name(k.o.Host, k.o.Address) &&
			!seen.stale(durationOf(seen.Lease)) {
			return nil
		}
	}
	if err := k.Remove(ctx); err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Nobody else renews the Lease of this server any more",
		"lease", k.o.Place.Name(k.o.Host, k.o.Address))
	k.displaced, k.own, k.held = false, false, nil
	k.Changed()
	return nil
}

// collect removes the Leases of servers that have stopped renewing them long ago.
func (k *Keeper) collect(ctx context.Context, statuses []Seen) error {
	var errs []error
	for _, seen := range statuses {
		if !isStatus(seen.Lease) || seen.Lease.Name == k.name() ||
			!seen.stale(durationsUntilCollected*durationOf(seen.Lease)) {
			continue
		}
		if err := deleteSeen(ctx, k.o.Leases, seen.Lease); err != nil {
			errs = append(errs, err)
			continue
		}
		klog.FromContext(ctx).Info("The status of a server that does not renew it was removed",
			"lease", seen.Lease.Name, "unchangedFor", seen.Unchanged)
	}
	return errors.Join(errs...)
}

// Remove removes the Lease that this process holds, unless another process has taken it over.
// Run must have ended.
func (k *Keeper) Remove(ctx context.Context) error {
	found, err := k.o.Leases.Leases(k.o.Place.Namespace()).Get(ctx, k.name(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case instanceOf(found) != k.instance:
		return nil
	}
	return deleteSeen(ctx, k.o.Leases, found)
}

// deleteSeen removes a Lease as it was seen: one that was renewed since stays.
func deleteSeen(ctx context.Context, leases coordinationclient.LeasesGetter,
	lease *coordinationv1.Lease) error {
	err := leases.Leases(lease.Namespace).Delete(ctx, lease.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{
			UID:             &lease.UID,
			ResourceVersion: &lease.ResourceVersion,
		},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// Withdraw removes the Lease that an earlier process of a server has left, for one that
// has nothing to tell: its feature gate is off.
func Withdraw(ctx context.Context, leases coordinationclient.LeasesGetter, host,
	address string) error {
	found, err := leases.Leases(Namespace).Get(ctx, Name(host, address), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case !isStatus(found):
		return nil
	}
	return deleteSeen(ctx, leases, found)
}
