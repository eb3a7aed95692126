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

// What the log says about a change that stays bad.
const (
	// remindEvery is how often it says so.
	remindEvery = time.Minute
	// sayAtMostEvery bounds how often another reason is said at once.
	sayAtMostEvery = time.Second
)

// longestRetry is how many intervals pass at most until a set is tried again whose
// files and modules are those that could not be loaded: it may be the system's fault.
const longestRetry = 16

// trouble is what is known of a change that is bad.
type trouble struct {
	hash      string
	retry     time.Time
	wait      time.Duration
	said      time.Time
	saidCause string
}

// due is whether a set is to be tried now.
func (t *trouble) due(hash string, now time.Time) bool {
	return hash == unknown || hash != t.hash || !now.Before(t.retry)
}

// failed notes that a set could not be loaded. The next try comes after an interval, and
// then twice as late each time.
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

// saysNow is whether the log is to be told of a cause now.
func (t *trouble) saysNow(cause string, now time.Time) bool {
	since := now.Sub(t.said)
	if since < sayAtMostEvery || since < remindEvery && cause == t.saidCause {
		return false
	}
	t.said, t.saidCause = now, cause
	return true
}

// succeed has a set served that is wanted.
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

// collect removes modules from the store that are not served. Those of the set before
// stay: whoever goes back to it should not need the network.
func (m *Manager) collect(ctx context.Context, before map[string]bool) {
	if m.options.Store == nil {
		return
	}
	keep := slices.AppendSeq(slices.Collect(maps.Keys(m.known)), maps.Keys(before))
	if err := m.options.Store.Collect(keep); err != nil {
		klog.FromContext(ctx).Error(explain.InOneLine(err),
			"Modules that are not served any more could not be removed")
	}
}

// swap has all subscribers serve another set, and frees the one before once its last
// request is done.
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

// fail notes that what is wanted cannot be loaded.
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

// remind tells the log what is wrong, when it is time to.
func (m *Manager) remind(ctx context.Context) {
	status := m.Status()
	if status.Reason == nil || !m.trouble.saysNow(status.Reason.Error(), m.options.Clock.Now()) {
		return
	}
	message :=
		"The configured policies cannot be loaded: the set before keeps serving until this is mended"
	if status.Kept {
		message =
			"The configured policies cannot be loaded: a set that an earlier process kept is served until this is mended"
	}
	klog.FromContext(ctx).Error(explain.InOneLine(status.Reason), message,
		"since", status.FailedSince.UTC().Format(time.RFC3339), "desiredHash", status.Desired,
		"runningHash", status.Running)
}

// mend notes that what is wanted is what is served. What its modules are verified by may have
// changed all the same.
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
		klog.FromContext(ctx).Info("The configured policies are those that are served again",
			"hash", m.Status().Running)
	}
	if m.lastGood != nil && m.keptAs != g.modules.verifiedBy() {
		m.keep(ctx, g)
	}
}

// record tells the metrics, and who listens, how things stand.
func (m *Manager) record() {
	for _, changed := range m.listeners {
		changed()
	}
	m.options.Recorder.SetPolicies(len(m.set.Policies()))
	m.options.Recorder.SetPolicySet("desired", m.status.Desired)
	m.options.Recorder.SetPolicySet("running", m.status.Running)
	m.options.Recorder.SetReloadFailedSince(m.status.FailedSince)
}
