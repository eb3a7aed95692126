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

// Package filewatch says when files are worth looking at again. What it says is a
// hint and never the truth: events get lost, come twice, and do not exist on some
// file systems. So whoever is called looks at the content, and is called at an
// interval even when nothing was reported.
package filewatch

import (
	"cmp"
	"context"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// DefaultQuiet is how long files have to be left alone before they are looked at:
// long enough for an editor or a `kubectl cp` to finish, and short beside the time
// that a person takes to try out the change.
const DefaultQuiet = 50 * time.Millisecond

// longestBurst is how many quiet times a burst of changes is waited out.
const longestBurst = 10

// Options say what is watched and how. Paths and Interval are required.
type Options struct {
	// Paths returns the files and directories to watch, absolute. It is called before
	// every wait. A path need not exist. Of a directory every entry counts, not what
	// is below.
	Paths func() []string
	// Interval is how often look is called when nothing is reported.
	Interval time.Duration
	// Quiet is how long nothing must have been reported before look is called after a
	// report. Reports that do not end are waited out ten times as long. Default:
	// DefaultQuiet.
	Quiet time.Duration
	// Also has look called at once when it gets a value; nil never does.
	Also <-chan struct{}
	// Clock is for tests. Default: the system's.
	Clock clock.WithTicker
}

// Run calls look when one of the paths may have changed and at every interval, until
// ctx ends. Calls do not overlap. Without the system's help, as when it has no
// watches left, only the interval remains, and the log says so.
//
// A path that is new gets an extra look once it is watched, so that no change is
// missed between the look that found it and the watch.
func Run(ctx context.Context, o Options, look func(context.Context)) {
	watcher, err := newWatcher(klog.FromContext(ctx))
	if err != nil {
		klog.FromContext(ctx).Error(err, "Files cannot be watched: changes are found at the interval only", "interval", o.Interval)
		run(ctx, o, unwatched{}, look)
		return
	}
	defer watcher.close()
	run(ctx, o, watcher, look)
}

// reporter is what a watch comes to.
type reporter interface {
	// watch makes paths the watched ones, and says whether one of them was not
	// watched before.
	watch(paths []string) (added bool)
	// changes gets a value when something may have changed.
	changes() <-chan struct{}
}

// unwatched reports nothing.
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

// settle waits until the reports end.
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
