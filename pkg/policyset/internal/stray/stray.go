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

// Package stray gives up on calls that do not return when their context ends, for example because
// they wait for a file system whose server is gone.
package stray

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

const (
	// maxCalls is how many abandoned calls may still be running before nothing more is loaded. Each
	// may hold a module and everything made from it. There may be more if several are given up at
	// the same time, but no more than run at a time.
	maxCalls = 16
	// grace is how long a call may take to return after its context has ended. A call that watches
	// its context returns the best error, and leaves nothing behind.
	grace = 100 * time.Millisecond
)

// Calls counts calls that were given up and have not returned. nil sets no bound. It is safe for
// concurrent use.
type Calls struct{ count atomic.Int64 }

// Count returns the number of these calls.
func (s *Calls) Count() int64 { return s.count.Load() }

func (s *Calls) check() error {
	if s == nil {
		return nil
	}
	if count := s.count.Load(); count >= maxCalls {
		return fmt.Errorf(
			"%d earlier loads were given up and have not ended, at most %d may: nothing is loaded until some end. "+
				"See the log for what they wait for; a restart ends them", count, maxCalls)
	}
	return nil
}

func (s *Calls) add(ctx context.Context, what string, n int64) {
	message := "Loading was given up and goes on without an effect: it does not end when it should"
	if n < 0 {
		message = "Loading that was given up has ended"
	}
	if s != nil {
		s.count.Add(n)
	}
	klog.FromContext(ctx).Info(message, "what", what)
}

// Within calls f and returns its results. If f does not return soon after ctx ends, Within returns
// the cause of ctx instead. f then continues on its own, and its result finally goes to late.
// Neither function may panic, nor use anything that is not safe for concurrent use. Within does not
// call f while too many calls are running on.
func Within[T any](ctx context.Context, s *Calls, what string, f func() (T, error),
	late func(T)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	if err := s.check(); err != nil {
		return none, err
	}
	type result struct {
		value T
		err   error
	}
	results, givenUp := make(chan result), make(chan struct{})
	go func() {
		value, err := f()
		select {
		case results <- result{value, err}:
		case <-givenUp:
			late(value)
			s.add(ctx, what, -1)
		}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-results:
		return r.value, r.err
	case <-timer.C:
		s.add(ctx, what, 1)
		close(givenUp)
		return none, context.Cause(ctx)
	}
}
