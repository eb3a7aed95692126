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

package reload

import (
	"context"
	"maps"
	"slices"
	"time"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// How often the log repeats a change that stays bad.
const (
	// remindEvery is how often it repeats the same reason.
	remindEvery = time.Minute
	// sayAtMostEvery bounds how often it shows a new reason.
	sayAtMostEvery = time.Second
)

// longestRetry bounds the wait, in intervals, before a set is tried again although its files and
// modules have not changed. The failure may have been the system's fault.
const longestRetry = 16

// trouble is the state of a change that is bad.
type trouble struct {
	hash      string
	retry     time.Time
	wait      time.Duration
	said      time.Time
	saidCause string
}

// due reports whether to try a set now.
func (t *trouble) due(hash string, now time.Time) bool {
	return hash == unknown || hash != t.hash || !now.Before(t.retry)
}

// failed records that a set could not be loaded. The next try comes after one interval, and the
// wait doubles after each further failure.
func (t *trouble) failed(hash string, now time.Time, interval time.Duration) {
	switch {
	case hash != t.hash || t.wait == 0:
		t.wait = interval
	case t.wait < longestRetry*interval:
		t.wait *= 2
	}
	t.hash = hash
	t.retry = now.Add(t.wait)
}

// saysNow reports whether to log a cause now.
func (t *trouble) saysNow(cause string, now time.Time) bool {
	since := now.Sub(t.said)
	if since < sayAtMostEvery || since < remindEvery && cause == t.saidCause {
		return false
	}
	t.said, t.saidCause = now, cause
	return true
}

// succeed serves the desired set.
func (m *Manager) succeed(ctx context.Context, set *policyset.Set, g *goal, began time.Time) {
	m.swap(set, Status{Desired: g.hash, Running: g.hash})
	m.options.Recorder.ObserveReload(resultSucceeded, m.options.Clock.Since(began))
	before := m.known
	m.trouble, m.known = trouble{}, g.modules.digests()
	m.announce(ctx, set, g)
	m.collect(ctx, before)
	if m.lastGood != nil {
		m.keep(ctx, g)
	}
}

// collect removes modules from the store that are not served. It keeps those of the previous set,
// so that going back to it does not need the network.
func (m *Manager) collect(ctx context.Context, before map[string]bool) {
	if m.options.Store == nil {
		return
	}
	keep := slices.AppendSeq(slices.Collect(maps.Keys(m.known)), maps.Keys(before))
	if err := m.options.Store.Collect(keep); err != nil {
		klog.FromContext(ctx).Error(explain.InOneLine(err),
			"Cannot remove modules that are no longer served")
	}
}

// swap makes all subscribers serve a set. It closes the previous set, which is freed after its last
// request.
func (m *Manager) swap(set *policyset.Set, status Status) {
	m.exchange(set, status).Close()
}

func (m *Manager) exchange(set *policyset.Set, status Status) (before *policyset.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before = m.set
	if status.Since = m.status.Since; status.Running != m.status.Running || status.Since.IsZero() {
		status.Since = m.options.Clock.Now()
	}
	m.set, m.status = set, status
	for _, use := range m.subscribers {
		use(set)
	}
	m.record()
	return before
}

// fail records that the desired set cannot be loaded.
func (m *Manager) fail(ctx context.Context, hash string, reason error) {
	now := m.options.Clock.Now()
	m.trouble.failed(hash, now, m.interval)
	m.mu.Lock()
	m.status.Desired, m.status.Reason = hash, reason
	if m.status.FailedSince.IsZero() {
		m.status.FailedSince = now
	}
	m.record()
	m.mu.Unlock()
	m.remind(ctx)
}

// remind logs the problem if a reminder is due.
func (m *Manager) remind(ctx context.Context) {
	status := m.Status()
	if status.Reason == nil || !m.trouble.saysNow(status.Reason.Error(), m.options.Clock.Now()) {
		return
	}
	message :=
		"The configured policies cannot be loaded: the previous set stays in service until this is fixed"
	if status.Kept {
		message =
			"The configured policies cannot be loaded: a set that an earlier process kept is served until this is fixed"
	}
	klog.FromContext(ctx).Error(explain.InOneLine(status.Reason), message,
		"since", status.FailedSince.UTC().Format(time.RFC3339), "desiredHash", status.Desired,
		"runningHash", status.Running)
}

// mend records that the desired set is served. It may have to keep the set again, because the
// verification of its modules may have changed.
func (m *Manager) mend(ctx context.Context, g *goal) {
	m.mu.Lock()
	bad := m.status.Reason != nil
	if bad {
		m.status = Status{
			Desired: m.status.Running,
			Running: m.status.Running,
			Since:   m.status.Since,
		}
		m.record()
	}
	m.mu.Unlock()
	if bad {
		m.trouble = trouble{}
		klog.FromContext(ctx).Info("The configured policies are served again",
			"hash", m.Status().Running)
	}
	if m.lastGood != nil && m.keptAs != g.modules.verifiedBy() {
		m.keep(ctx, g)
	}
}

// record passes the status to the metrics and the listeners.
func (m *Manager) record() {
	for _, changed := range m.listeners {
		changed()
	}
	m.options.Recorder.SetPolicies(len(m.set.Policies()))
	m.options.Recorder.SetPolicySet("desired", m.status.Desired)
	m.options.Recorder.SetPolicySet("running", m.status.Running)
	m.options.Recorder.SetReloadFailedSince(m.status.FailedSince)
}
