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

// Bounds of a round, and of the pause before the next.
const (
	roundTimeout = 10 * time.Second
	leastPause   = time.Second
)

// KeeperOptions configure a Keeper. Leases, Host, Address and Report are required.
type KeeperOptions struct {
	// Leases is a client of the server itself.
	Leases coordinationclient.LeasesGetter
	// Place is the place of the Lease. Default: that of apiservers.
	Place Place
	// Host is the name of the host, and Address is where the server serves, as host:port. No two
	// servers of a cluster may have both in common.
	Host, Address string
	// Report returns the current report. The keeper sets Instance, Host and Address.
	Report func() Report
	// Observe receives the table of all servers after each look. It may be nil.
	Observe func(*Table)
	// RenewEvery is how often the Lease is renewed if nothing changes. Default: DefaultRenewEvery.
	// The Lease lasts three times as long.
	RenewEvery time.Duration
	// Clock is for tests. Default: the system clock.
	Clock clock.WithTicker
}

// Keeper maintains the Lease of a server, and removes the Leases of servers that ended without
// removing them. Nothing depends on it, so it retries after failures.
type Keeper struct {
	o        KeeperOptions
	instance string
	changed  chan struct{}
	observer *Observer

	// Only Run uses the following fields, and Remove after Run has ended.
	held *coordinationv1.Lease // as last written; nil if unknown
	// own is set if this process has written the Lease of this server's name.
	own bool
	// displaced is set if another process holds the Lease of this server's name.
	displaced bool
}

// NewKeeper returns a keeper. It writes nothing before Run.
func NewKeeper(o KeeperOptions) *Keeper {
	o.RenewEvery = cmp.Or(o.RenewEvery, DefaultRenewEvery)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	observer := NewObserver(o.Leases, o.Place, o.Clock)
	// This is less than the duration of a Lease: a server that was alive before an outage still
	// counts as alive after it.
	observer.longest = 2 * max(o.RenewEvery, leastDuration/renewalsADuration)
	return &Keeper{
		o:        o,
		instance: hex.EncodeToString(random[:]),
		changed:  make(chan struct{}, 1),
		observer: observer,
	}
}

// Changed announces a new report. It does not block, and may be called at any time.
func (k *Keeper) Changed() {
	select {
	case k.changed <- struct{}{}:
	default: // a change is announced already
	}
}

// Run maintains the Lease until ctx ends. Call it only once.
func (k *Keeper) Run(ctx context.Context) {
	backoff := k.backoff()
	for ctx.Err() == nil {
		pause := wait.Jitter(k.o.RenewEvery, 0.1) - k.o.RenewEvery/10
		if err := k.round(ctx); err != nil && ctx.Err() == nil {
			pause = min(backoff.Step(), k.o.RenewEvery)
			klog.FromContext(ctx).
				Info(
					"Cannot publish the status. Serving is not affected. Trying again",
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

// pause waits until there is something to do. It always waits for leastPause first, so that files
// that change all the time do not make the server write all the time.
func (k *Keeper) pause(ctx context.Context, pause time.Duration) {
	least := min(leastPause, k.o.RenewEvery)
	if !k.sleep(ctx, least, nil) {
		return
	}
	k.sleep(ctx, pause-least, k.changed)
}

// sleep reports whether it slept for the whole time.
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

// round publishes the status, looks at the other servers, and removes Leases that nobody renews.
func (k *Keeper) round(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic while publishing the status: %v", r)
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

// name returns the name of the Lease that this process writes now.
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

// tryWrite writes once. It returns true if the Lease has changed and it should be called again.
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
		// Take over at once from an earlier process of this server.
		k.held = found
	}
	lease.ResourceVersion, lease.UID = k.held.ResourceVersion, k.held.UID
	if k.own && k.held.Spec.AcquireTime != nil {
		lease.Spec.AcquireTime = k.held.Spec.AcquireTime
	}
	updated, err := leases.Update(ctx, lease, metav1.UpdateOptions{})
	return k.wrote(updated, err)
}

// wrote records the result of a write.
func (k *Keeper) wrote(lease *coordinationv1.Lease, err error) (again bool, _ error) {
	if err != nil {
		k.held = nil
		return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) ||
			apierrors.IsNotFound(err), err
	}
	k.held, k.own = lease, true
	return false, nil
}

// report returns the report to publish.
func (k *Keeper) report() Report {
	r := k.o.Report()
	r.Instance, r.Host, r.Address = k.instance, k.o.Host, k.o.Address
	if k.displaced {
		r.FailureCount = max(r.FailureCount, len(r.Failures)) + 1
		r.Failures = append([]string{
			"another server renews Lease " + k.o.Place.Name(k.o.Host, k.o.Address) +
				", which belongs to this one: give them different host names or addresses",
		}, r.Failures...)
	}
	return r
}

// giveWay makes this process write another Lease, because another process has written its own.
// Otherwise the two would overwrite each other forever.
func (k *Keeper) giveWay(ctx context.Context) error {
	err :=
		errors.New(
			"another server renews the Lease of this one: give them different host names or addresses")
	klog.FromContext(ctx).Error(err, "Publishing the status in another Lease", "lease", k.name())
	k.displaced, k.held = true, nil
	return err
}

// comeBack returns to the Lease of this server's name when nobody renews it any more.
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
	klog.FromContext(ctx).Info("No other server renews the Lease of this server any more",
		"lease", k.o.Place.Name(k.o.Host, k.o.Address))
	k.displaced, k.own, k.held = false, false, nil
	k.Changed()
	return nil
}

// collect removes the Leases of servers that stopped renewing them long ago.
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
		klog.FromContext(ctx).Info("Removed the status of a server that no longer renews it",
			"lease", seen.Lease.Name, "unchangedFor", seen.Unchanged)
	}
	return errors.Join(errs...)
}

// Remove removes the Lease of this process, unless another process has taken it over. Run must have
// ended.
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

// deleteSeen removes a Lease unless it was renewed after it was seen.
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

// Withdraw removes the Lease that an earlier process of a server left behind. It is for a server
// that publishes nothing, because its feature gate is off.
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
