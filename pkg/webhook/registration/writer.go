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

package registration

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// How often the writer checks the configurations if nothing has changed, and how soon it retries
// after a failure.
const (
	lookEvery  = 30 * time.Second
	retryEvery = 2 * time.Second
)

// Options configure a writer. Client and Target are required.
type Options struct {
	// Client reads and writes webhook configurations.
	Client kubernetes.Interface
	// Target says how the apiserver reaches the webhooks.
	Target Target
	// CABundle returns the current certificates of the target; nil means that those in Target
	// never change.
	CABundle func() []byte
	// Clock is for tests. Default: the system clock.
	Clock clock.Clock
}

// Writer keeps the webhook configurations in step with the policies that are served.
//
// Several servers may each have a writer. A server whose policies have changed writes them, so the
// last one wins while a change reaches one server after another. A server whose policies have not
// changed only repairs its own configurations, if they are gone or were edited without a change of
// policies. So two servers do not overwrite each other in turns.
//
// Nothing is removed when a server ends. Requests that no server answers fail by the policies'
// failure policies.
type Writer struct {
	options Options
	changed chan struct{}

	mu       sync.Mutex
	policies []*wasmadmission.Policy
	known    bool // set after the first call of Use
	pending  news // changes that are not written yet
}

// news say which parts of the configurations may be outdated.
type news struct{ policies, certificates bool }

// NewWriter returns a writer. It writes nothing before the first call of Use.
func NewWriter(o Options) *Writer {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Writer{options: o, changed: make(chan struct{}, 1)} // one value is enough
}

// Use makes Run write the policies of another set. It does not block.
func (w *Writer) Use(set *policyset.Set) {
	w.mu.Lock()
	w.policies, w.known, w.pending.policies = Policies(set), true, true
	w.mu.Unlock()
	w.wake()
}

// Enqueue announces that the CA bundle has changed. It does not block.
func (w *Writer) Enqueue() {
	w.mu.Lock()
	w.pending.certificates = true
	w.mu.Unlock()
	w.wake()
}

func (w *Writer) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Run writes the configurations until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	for {
		next := lookEvery
		if err := w.Write(ctx); err != nil && ctx.Err() == nil {
			next = retryEvery
			klog.FromContext(ctx).
				Error(err,
					"Webhook configurations are not up to date: the apiserver may ask policies that are gone, or not ask those that are new")
		}
		timer := w.options.Clock.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-w.changed:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// Write writes the pending changes. Calls must not overlap.
func (w *Writer) Write(ctx context.Context) error {
	w.mu.Lock()
	policies, known, changed := w.policies, w.known, w.pending
	w.pending = news{}
	w.mu.Unlock()
	if !known {
		return nil
	}
	if w.options.CABundle != nil {
		w.options.Target.CABundle = w.options.CABundle()
	}
	if err := write(ctx, w.options.Client, w.options.Target.Configurations(policies),
		changed); err != nil {
		w.mu.Lock()
		w.pending.policies, w.pending.certificates = w.pending.policies ||
			changed.policies, w.pending.certificates || changed.certificates
		w.mu.Unlock()
		return err
	}
	return nil
}
