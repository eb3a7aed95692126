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

// Package breakglass puts policies into monitor mode for a while, when a file says so:
// for the night in which a policy rejects what keeps the cluster alive. It takes
// whoever may write a file beside the apiserver's, and neither a restart nor the API.
//
// The file states its own end, a day ahead at most, and the end comes without anybody
// doing anything. A file that is wrong in any way is not obeyed, and the policies stay
// enforced.
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

// remindEvery is how often the log says that policies are in monitor mode, or that a
// file is not obeyed.
const remindEvery = time.Minute

// maxBytes bounds the file.
const maxBytes = 64 << 10

// Options say what is watched. Path is required.
type Options struct {
	// Path is the file's, absolute. The file need not exist.
	Path string
	// Interval is how often the file is looked at when nothing is reported. Default: 1
	// minute.
	Interval time.Duration
	// Serves says whether there is a policy or group of a name; nil means yes. A file that
	// names none that is served is not obeyed.
	Serves func(name string) bool
	// Recorder takes notes; nil discards them.
	Recorder Recorder
	// Clock is for tests. Default: the system's.
	Clock clock.WithTicker
}

// File is a break-glass file. It is safe for concurrent use.
type File struct {
	options Options
	grant   atomic.Pointer[grant]

	// What only updates touch.
	last     string    // digest of the content that was looked at last
	refused  error     // why that content is not obeyed
	waits    bool      // because it names no policy, which a change of the policies may bring
	reminded time.Time // when the log was told last
}

// grant is an order that is in force. It is immutable.
type grant struct {
	policies map[string]bool
	every    bool
	reason   string
	names    []string
	// until is the end by the calendar, and end the same by a clock that nobody sets:
	// whichever comes first ends the grant.
	until, end time.Time
}

func (g *grant) ended(now time.Time) bool {
	return !now.Before(g.end) || !now.Round(0).Before(g.until)
}

// New returns a file that was not looked at yet: nothing is in monitor mode.
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

// Mode returns the mode of a policy or group that is configured to have another:
// monitor while the file says so. It takes no lock.
func (f *File) Mode(policy string, configured wasmadmission.PolicyMode) wasmadmission.PolicyMode {
	g := f.grant.Load()
	if g == nil || !g.every && !g.policies[policy] || g.ended(f.options.Clock.Now()) {
		return configured
	}
	return wasmadmission.ModeMonitor
}

// Run obeys the file until ctx ends.
func (f *File) Run(ctx context.Context) {
	// The end wants to be told of when it comes, and not up to a minute later.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filewatch.Run(ctx, filewatch.Options{
		Paths:    func() []string { return []string{f.options.Path} },
		Interval: min(f.options.Interval, tellEndWithin),
		Clock:    f.options.Clock,
	}, f.Update)
}

// tellEndWithin is how soon the log and the metrics know that a grant has ended. That
// it has, the policies know at once.
const tellEndWithin = 10 * time.Second

// Update reads the file and obeys it, if it is good. Updates must not overlap.
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

// obey makes the content's order the one in force.
func (f *File) obey(ctx context.Context, content []byte, now time.Time) {
	f.waits = false
	o, err := read(content, now)
	if err != nil {
		// It stays refused when its end comes nearer: nobody would expect that.
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
			fmt.Errorf("policies: none is served that is called %s: %s", quoted(unknown),
				NameRemedy))
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

// unknown returns the names that no policy has which is served.
func (f *File) unknown(g *grant) []string {
	if g.every {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(g.names), f.options.Serves)
}

// NameRemedy says what to write in place of a name that no policy has.
const NameRemedy = "write names as refusals and metrics have them, such as clusterwide-NAME for a ClusterAdmissionPolicy"

// quoted names some of many.
func quoted(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%q and %d more", names[:most], len(names)-most)
	}
	return fmt.Sprintf("%q", names)
}

// Read reads the break-glass file at an absolute path as a server does. The error has a line for
// each reason not to obey it if it is read now; whether its names are served is not looked at.
func Read(path string, now time.Time) (*wasmadmission.BreakGlass, error) {
	content, err := safefile.Read(path, maxBytes)
	if err != nil {
		return nil, err
	}
	return read(content, now)
}

// read decodes and checks an order. It says all that is wrong, a line each.
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

// refuse enforces all policies, since the file says nothing that can be obeyed.
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

// remind ends what is over, and repeats what is not.
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

// tell says what is in force, as loudly as an error: it is meant to be noticed. So is a name that
// no policy has: whoever wrote it believes something to be lifted that is not.
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
