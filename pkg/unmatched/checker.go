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
	// retryEvery is how long to wait if the served resources are not known yet.
	retryEvery = 5 * time.Second
	// checkEvery is how often to check again, because definitions come and go.
	checkEvery = 5 * time.Minute
)

// Recorder records rules that match nothing.
type Recorder interface {
	// SetUnmatchedRules sets how many rules of policies match no served resource.
	SetUnmatchedRules(count int)
}

// Options configure a checker. All except Clock are required.
type Options struct {
	// Served returns the served resources. It returns an error if they are not known, as before the
	// server is ready.
	Served func(ctx context.Context) (*Served, error)
	// Recorder records how many rules match nothing.
	Recorder Recorder
	// Clock is for tests. Default: the system clock.
	Clock clock.Clock
}

// Checker warns about rules that match nothing. It logs each once for as long as it matches
// nothing, and sets a metric. It delays neither requests nor the start. It is safe for concurrent
// use. Call Run only once.
type Checker struct {
	options Options
	changed chan struct{}

	mu       sync.Mutex
	policies []wasmadmission.Policy

	warned sets.Set[string] // only Run uses it
}

// New returns a checker without policies.
func New(o Options) *Checker {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Checker{options: o, changed: make(chan struct{}, 1)} // one value is enough
}

// Use makes the checker check another set. It does not block.
func (c *Checker) Use(set *policyset.Set) {
	policies := make([]wasmadmission.Policy, 0, len(set.Policies()))
	for _, p := range set.Policies() {
		// A set that is replaced frees its modules, so keep only names and rules.
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

// Run checks each new set, and every checkEvery the served resources, until ctx ends.
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

// check checks the rules. It returns the longest time until the next check.
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
