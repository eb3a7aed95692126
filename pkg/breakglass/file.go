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

// Package breakglass puts policies into monitor mode for a while if a file says so, for the night
// in which a policy rejects what keeps the cluster alive. That needs write access to a file on the
// apiserver's host, but neither a restart nor the API.
//
// The file states when its order ends, at most a day ahead, and the order then ends on its own. A
// file with any error has no effect, and policies stay enforced.
package breakglass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/filewatch"
	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// remindEvery is how often the log repeats that policies are in monitor mode, or that a file is not
// obeyed.
const remindEvery = time.Minute

// maxBytes bounds the file.
const maxBytes = 64 << 10

// Options configure a File. Path is required.
type Options struct {
	// Path is the absolute path of the file. The file need not exist.
	Path string
	// Interval is how often to look at the file if the system reports no change. Default: 1 minute.
	Interval time.Duration
	// Serves reports whether a policy or group with this name is served. nil means that all are. A
	// file that names only policies that are not served is not obeyed.
	Serves func(name string) bool
	// Recorder records what happens. nil discards everything.
	Recorder Recorder
	// Clock is for tests. Default: the system clock.
	Clock clock.WithTicker
}

// File is a break-glass file. It is safe for concurrent use.
type File struct {
	options Options
	grant   atomic.Pointer[grant]

	// Only Update and Run use the following fields.
	last     string    // digest of the content that was read last
	refused  error     // why that content is not obeyed, or nil
	waits    bool      // refused for its names, which a change of policies may fix
	reminded time.Time // when the log last repeated it
}

// grant is an order in force. It is immutable.
type grant struct {
	policies map[string]bool
	every    bool
	reason   string
	names    []string
	// until is the end by the wall clock, and end the same by a clock that nobody can set. The
	// grant ends at the earlier one.
	until, end time.Time
}

func (g *grant) ended(now time.Time) bool {
	return !now.Before(g.end) || !now.Round(0).Before(g.until)
}

// New returns a File that has not been read: no policy is in monitor mode.
func New(o Options) *File {
	o.Interval = cmp.Or(o.Interval, time.Minute)
	if o.Serves == nil {
		o.Serves = func(string) bool { return true }
	}
	if o.Recorder == nil {
		o.Recorder = discard{}
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &File{options: o}
}

// Mode returns the mode of a policy or group: monitor while the file says so, and otherwise the
// configured one. It takes no lock.
func (f *File) Mode(policy string, configured wasmadmission.PolicyMode) wasmadmission.PolicyMode {
	g := f.grant.Load()
	if g == nil || !g.every && !g.policies[policy] || g.ended(f.options.Clock.Now()) {
		return configured
	}
	return wasmadmission.ModeMonitor
}

// Run reads and obeys the file until ctx ends.
func (f *File) Run(ctx context.Context) {
	// The interval is short enough to report the end of an order soon after it comes.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filewatch.Run(ctx, filewatch.Options{
		Paths:    func() []string { return []string{f.options.Path} },
		Interval: min(f.options.Interval, tellEndWithin),
		Clock:    f.options.Clock,
	}, f.Update)
}

// tellEndWithin is how soon the log and the metrics show that a grant has ended. Policies are
// enforced again at once.
const tellEndWithin = 10 * time.Second

// Update reads the file and obeys it if it is good. Calls must not overlap.
func (f *File) Update(ctx context.Context) {
	defer func() {
		if r := recover(); r != nil {
			f.refuse(ctx, fmt.Errorf("panic while the file was read: %v", r))
		}
	}()
	content, err := safefile.Read(f.options.Path, maxBytes)
	now := f.options.Clock.Now()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.last, f.refused = "", nil
		f.end(ctx, "the file is gone")
		return
	case err != nil:
		f.last = ""
		f.refuse(ctx, err)
		return
	}
	switch digest := engine.Digest(content); {
	case digest != f.last:
		f.last, f.refused = digest, nil
		f.obey(ctx, content, now)
	case f.waits:
		f.obey(ctx, content, now)
	default:
		f.remind(ctx, now)
	}
}

// obey puts the order in the content in force.
func (f *File) obey(ctx context.Context, content []byte, now time.Time) {
	f.waits = false
	o, err := read(content, now)
	if err != nil {
		// A refused file stays refused, even if its end has come within a day: nobody expects it to
		// take effect on its own.
		f.refuse(ctx, err)
		return
	}
	g := &grant{
		policies: map[string]bool{}, every: o.Policies[0] == wasmadmission.EveryPolicy,
		reason: o.Reason, names: o.Policies,
		until: o.Until.Time, end: now.Add(o.Until.Sub(now)),
	}
	unknown := f.unknown(g)
	if f.waits = len(unknown) == len(g.names); f.waits {
		f.refuse(ctx,
			fmt.Errorf("policies: none of %s is served: %s", quoted(unknown), NameRemedy))
		return
	}
	for _, name := range o.Policies {
		g.policies[name] = true
	}
	if f.grant.Swap(g) != nil {
		f.options.Recorder.CountBreakGlass(eventEnded)
	}
	f.options.Recorder.CountBreakGlass(eventBegun)
	f.options.Recorder.SetBreakGlassUntil(g.until)
	f.tell(ctx, g, now,
		"BREAK-GLASS: policies are in monitor mode, their rejections are NOT ENFORCED")
}

// unknown returns the names in a grant that no served policy has.
func (f *File) unknown(g *grant) []string {
	if g.every {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(g.names), f.options.Serves)
}

// NameRemedy says what to write instead of a name that no policy has.
const NameRemedy = "write names as denials and metrics show them, such as clusterwide-NAME for a ClusterAdmissionPolicy"

// quoted quotes names, but only the first of many.
func quoted(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%q and %d more", names[:most], len(names)-most)
	}
	return fmt.Sprintf("%q", names)
}

// Read reads the break-glass file at an absolute path as a server would at the time now. The error
// has one line for each reason not to obey it. Read does not check whether its policies are served.
func Read(path string, now time.Time) (*wasmadmission.BreakGlass, error) {
	content, err := safefile.Read(path, maxBytes)
	if err != nil {
		return nil, err
	}
	return read(content, now)
}

// read decodes and checks an order. The error has one line for each problem.
func read(content []byte, now time.Time) (*wasmadmission.BreakGlass, error) {
	o, err := load.BreakGlassFromData(content)
	if o == nil {
		return nil, err
	}
	errs := []error{err}
	for _, invalid := range validation.ValidateBreakGlass(o, now) {
		errs = append(errs, invalid)
	}
	return o, errors.Join(errs...)
}

// refuse enforces all policies, because the file cannot be obeyed.
func (f *File) refuse(ctx context.Context, reason error) {
	f.end(ctx, "the file is not obeyed")
	now := f.options.Clock.Now()
	if f.refused != nil && f.refused.Error() == reason.Error() &&
		now.Sub(f.reminded) < remindEvery {
		return
	}
	if f.refused == nil || f.refused.Error() != reason.Error() {
		f.options.Recorder.CountBreakGlass(eventRefused)
	}
	f.refused, f.reminded = reason, now
	klog.FromContext(ctx).Error(explain.InOneLine(reason),
		"Break-glass file is not obeyed: all policies stay enforced", "file", f.options.Path)
}

// end ends the grant in force, if there is one.
func (f *File) end(ctx context.Context, why string) {
	g := f.grant.Swap(nil)
	if g == nil {
		return
	}
	f.options.Recorder.CountBreakGlass(eventEnded)
	f.options.Recorder.SetBreakGlassUntil(time.Time{})
	klog.FromContext(ctx).Info("Break-glass has ended: policies are enforced again",
		"file", f.options.Path, "why", why, "policies", g.names)
}

// remind ends a grant whose time is over, and repeats what is still the case.
func (f *File) remind(ctx context.Context, now time.Time) {
	g := f.grant.Load()
	switch {
	case g == nil && f.refused != nil:
		f.refuse(ctx, f.refused)
	case g == nil:
	case g.ended(now):
		f.end(ctx, "its time is over")
	case now.Sub(f.reminded) >= remindEvery:
		f.tell(ctx, g, now,
			"BREAK-GLASS: policies are still in monitor mode, their rejections are NOT ENFORCED")
	}
}

// tell logs a grant in force at level error, so that it is noticed. It also logs names that no
// policy has: the author believes that these policies are not enforced, but they are.
func (f *File) tell(ctx context.Context, g *grant, now time.Time, message string) {
	f.reminded = now
	logger := klog.FromContext(ctx)
	logger.Error(nil, message, "file", f.options.Path, "policies", g.names,
		"until", g.until.Format(time.RFC3339), "reason", g.reason)
	if unknown := f.unknown(g); len(unknown) > 0 {
		logger.Error(nil, "The break-glass file names policies that are not served: "+NameRemedy,
			"file", f.options.Path, "notServed", quoted(unknown))
	}
}
