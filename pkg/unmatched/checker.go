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

package unmatched

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

const (
	// retryEvery is how long to wait while nobody knows what is served.
	retryEvery = 5 * time.Second
	// checkEvery is how often what is served is looked at: definitions come and go.
	checkEvery = 5 * time.Minute
)

// Recorder takes notes of rules that match nothing.
type Recorder interface {
	// SetUnmatchedRules says how many rules of policies match nothing that is served.
	SetUnmatchedRules(count int)
}

// Options is what a checker works with. All but Clock are required.
type Options struct {
	// Served asks what is served. It returns an error while that is not known, as before
	// the server is ready.
	Served func(ctx context.Context) (*Served, error)
	// Recorder is told how many rules match nothing.
	Recorder Recorder
	// Clock is for tests. Default: the system's.
	Clock clock.Clock
}

// Checker warns of rules that match nothing: in the log, once for as long as it stays
// so, and by a metric. It keeps no request and no start waiting. It is safe for
// concurrent use; Run is called once.
type Checker struct {
	options Options
	changed chan struct{}

	mu       sync.Mutex
	policies []wasmadmission.Policy

	warned sets.Set[string] // only Run touches it
}

// New returns a checker of no policies.
func New(o Options) *Checker {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Checker{options: o, changed: make(chan struct{}, 1)} // one is as good as many
}

// Use has another set checked. It waits for nothing.
func (c *Checker) Use(set *policyset.Set) {
	policies := make([]wasmadmission.Policy, 0, len(set.Policies()))
	for _, p := range set.Policies() {
		// A set that is replaced frees its modules. Names and rules stay.
		policies = append(policies, wasmadmission.Policy{
			Name:      p.Name(),
			Namespace: p.Spec().Namespace,
			Rules:     p.Spec().Rules,
		})
	}
	c.mu.Lock()
	c.policies = policies
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Run checks each set, and now and then what is served, until ctx ends.
func (c *Checker) Run(ctx context.Context) {
	for {
		timer := c.options.Clock.NewTimer(c.check(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.changed:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// check checks the rules, and returns when to do so again at the latest.
func (c *Checker) check(ctx context.Context) time.Duration {
	served, err := c.options.Served(ctx)
	if err != nil {
		return retryEvery
	}
	c.mu.Lock()
	policies := c.policies
	c.mu.Unlock()
	warned := sets.New[string]()
	for n := range policies {
		for _, line := range served.find(&policies[n]) {
			warned.Insert(line)
			if !c.warned.Has(line) {
				klog.FromContext(ctx).Info("Warning: " + line)
			}
		}
	}
	c.warned = warned
	c.options.Recorder.SetUnmatchedRules(len(warned))
	return checkEvery
}
