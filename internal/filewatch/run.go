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

// Package filewatch reports when files may have changed. A report is only a hint: events get lost,
// come twice, and do not exist on some file systems. Callers must therefore compare the content.
// They are also called at an interval without any event.
package filewatch

import (
	"cmp"
	"context"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// DefaultQuiet is how long files must remain unchanged before look is called. It is long enough for
// an editor or a `kubectl cp` to finish, and short compared with the time that a person takes to
// test a change.
const DefaultQuiet = 50 * time.Millisecond

// longestBurst limits the wait during a burst of changes, as a multiple of the quiet time.
const longestBurst = 10

// Options configure [Run]. Paths and Interval are required.
type Options struct {
	// Paths returns the absolute paths of the files and directories to watch. Run calls it before
	// every wait. A path need not exist. For a directory, Run watches its entries, but no deeper
	// levels.
	Paths func() []string
	// Interval is the time between calls of look when there are no events.
	Interval time.Duration
	// Quiet is how long there must be no event before look is called after an event. If events do
	// not stop, look is called after ten times as long. The default is DefaultQuiet.
	Quiet time.Duration
	// Also triggers an immediate call of look for each value. Nil is allowed.
	Also <-chan struct{}
	// Clock is for tests. The default is the system clock.
	Clock clock.WithTicker
}

// Run calls look when one of the paths may have changed, and at every interval, until ctx ends.
// Calls do not overlap. If the system cannot watch files, for example because it has no watches
// left, Run logs that and uses only the interval.
//
// A new path causes an extra call of look once it is watched. Otherwise, a change between the call
// that found the path and the start of the watch could be missed.
func Run(ctx context.Context, o Options, look func(context.Context)) {
	watcher, err := newWatcher(klog.FromContext(ctx))
	if err != nil {
		klog.FromContext(ctx).
			Error(err, "Files cannot be watched: changes are only found at the interval",
				"interval", o.Interval)
		run(ctx, o, unwatched{}, look)
		return
	}
	defer watcher.close()
	run(ctx, o, watcher, look)
}

// reporter reports changes of watched paths.
type reporter interface {
	// watch replaces the watched paths. It returns true if one of them was not watched before.
	watch(paths []string) (added bool)
	// changes receives a value when something may have changed.
	changes() <-chan struct{}
}

// unwatched never reports a change.
type unwatched struct{}

func (unwatched) watch([]string) bool      { return false }
func (unwatched) changes() <-chan struct{} { return nil }

func run(ctx context.Context, o Options, reports reporter, look func(context.Context)) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	o.Quiet = cmp.Or(o.Quiet, DefaultQuiet)
	ticker := o.Clock.NewTicker(o.Interval)
	defer ticker.Stop()
	for {
		if !reports.watch(o.Paths()) {
			select {
			case <-ctx.Done():
			case <-ticker.C():
			case <-o.Also:
			case <-reports.changes():
				settle(ctx, o, reports)
			}
		}
		if ctx.Err() != nil {
			return
		}
		look(ctx)
	}
}

// settle waits until no more events come, or for at most longestBurst quiet times.
func settle(ctx context.Context, o Options, reports reporter) {
	quiet, enough := o.Clock.NewTimer(o.Quiet), o.Clock.NewTimer(longestBurst*o.Quiet)
	defer quiet.Stop()
	defer enough.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-enough.C():
			return
		case <-quiet.C():
			return
		case <-reports.changes():
			quiet.Stop()
			quiet = o.Clock.NewTimer(o.Quiet)
		}
	}
}
