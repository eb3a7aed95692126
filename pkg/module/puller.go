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

package module

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// How often a source is asked before it counts as not answering.
var (
	// patient is for modules that are needed and not stored. It takes about four seconds if
	// connections are refused immediately.
	patient = wait.Backoff{Duration: 250 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 5}
	// hasty is for modules with an earlier state in the store.
	hasty = wait.Backoff{Duration: 250 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 2}
)

const (
	// hastyTimeout is the time for a registry to resolve a tag if there is an earlier state. It
	// leaves time for a mirror that cannot be reached.
	hastyTimeout = 2 * dialTimeout
	// silence is how long a source that did not answer is not asked again if there is an earlier
	// state. A start with many modules must not wait for each of them.
	silence = 30 * time.Second
)

// puller fetches modules from registries and web servers.
type puller struct {
	maxBytes int64
	store    *Store
	verifier Verifier
	layouts  layouts
	*Registries

	patient, hasty wait.Backoff
	progressEvery  time.Duration
	observe        func(bytes, total int64)

	mu     sync.Mutex
	busy   map[string]chan struct{} // by URI; closed when the request is done
	silent map[string]time.Time     // by host; when it last did not answer
	// accepted holds the entries of the store that the verifier has accepted.
	accepted map[accepted]bool
}

func newPuller(options Options) (*puller, error) {
	registries, err := NewRegistries(RegistriesOptions{Sources: options.Sources})
	if err != nil {
		return nil, err
	}
	return &puller{
		maxBytes:      options.MaxBytes,
		store:         options.Store,
		verifier:      options.Verifier,
		layouts:       layouts{anyOwner: options.AnyLayout},
		Registries:    registries,
		patient:       patient,
		hasty:         hasty,
		progressEvery: progressEvery,
		observe:       options.Progress,
		busy:          map[string]chan struct{}{},
		silent:        map[string]time.Time{},
		accepted:      map[accepted]bool{},
	}, nil
}

// get fetches a module within the deadline.
func (r *puller) get(ctx context.Context, request Request) (*Module, error) {
	// The URI names a file in the store's index and is logged.
	if moduleuri.IsTooLong(request.URI) {
		return nil, fail(CauseInvalid, "the URI is longer than %d bytes after its scheme",
			moduleuri.MaxBytes)
	}
	if request.Digest != "" && !moduleuri.IsDigest(request.Digest) {
		return nil, fail(CauseInvalid, "digest %.100q is not sha256: and 64 lower-case hexadecimal digits",
			request.Digest)
	}
	fetch := r.fetchOf(request.URI)
	if fetch == nil {
		return nil, fail(CauseInvalid,
			"it begins with none of file://, registry://, https:// and oci-layout://")
	}
	ctx = klog.NewContext(ctx, klog.FromContext(ctx).WithValues("uri", Redact(request.URI)))
	var m *Module
	err := r.within(ctx, func(deadline context.Context) error {
		release, err := r.acquire(deadline, request.URI)
		if err != nil {
			return err
		}
		defer release()
		progress := watch(ctx, r.progressEvery, r.observe)
		defer progress.stop()
		m, err = fetch(deadline, request, progress)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// fetchOf returns the function that fetches a URI, or nil if there is none.
func (r *puller) fetchOf(uri string) func(context.Context, Request, *progress) (*Module, error) {
	switch scheme, _, _ := strings.Cut(uri, "://"); {
	case scheme == moduleuri.LayoutScheme:
		return r.inLayout
	case scheme == "registry" && r.sources.Layout != "":
		return r.registryInLayout
	case (scheme == "https" || scheme == "http") && r.sources.Layout != "":
		return r.serverInLayout
	case scheme == "registry":
		return r.fromRegistry
	case scheme == "https" || scheme == "http":
		return r.fromServer
	}
	return nil
}

// within calls a function within the deadline.
func (r *puller) within(ctx context.Context, f func(deadline context.Context) error) error {
	deadline, cancel := context.WithTimeout(ctx, r.sources.Timeout)
	defer cancel()
	err := f(deadline)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // the caller gave up, or has its own deadline
		return context.Cause(ctx)
	// and not an answer that only came late
	case deadline.Err() != nil && unanswered(classify(err)):
		return fail(CauseUnreachable, "not done within %s (sources.timeout): %w", r.sources.Timeout,
			err)
	}
	return err
}

// acquire waits until no other request for the URI is running, and then reserves the URI.
func (r *puller) acquire(ctx context.Context, uri string) (release func(), err error) {
	for {
		r.mu.Lock()
		done, taken := r.busy[uri]
		if !taken {
			done = make(chan struct{})
			r.busy[uri] = done
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				delete(r.busy, uri)
				close(done)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, fail(CauseUnreachable, "another request for it takes too long: %w", ctx.Err())
		}
	}
}

// retry calls a function again as long as a source does not answer.
func (r *puller) retry(ctx context.Context, backoff wait.Backoff,
	f func(context.Context) error) error {
	var err error
	_ = wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		if err = f(ctx); err == nil {
			return true, nil
		}
		err = classify(err)
		if CauseOf(err) != CauseUnreachable || ctx.Err() != nil {
			return false, err
		}
		klog.FromContext(ctx).V(2).Info("Source of a module does not answer", "err", err)
		return false, nil
	})
	if err == nil && ctx.Err() != nil {
		return classify(ctx.Err())
	}
	return err
}

// ask calls a function that asks a host for a module's current state. It is less patient if an
// earlier state is in the store.
func (r *puller) ask(ctx context.Context, host string, stored bool,
	f func(context.Context) error) error {
	if !stored {
		return r.retry(ctx, r.patient, f)
	}
	if r.isSilent(host) {
		return fail(CauseUnreachable, "%s did not answer less than %s ago", host, silence)
	}
	err := r.retry(ctx, r.hasty, f)
	if unanswered(err) && ctx.Err() == nil {
		r.mu.Lock()
		r.silent[host] = time.Now()
		r.mu.Unlock()
	}
	return err
}

func (r *puller) isSilent(host string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	since, ok := r.silent[host]
	if ok && time.Since(since) >= silence {
		delete(r.silent, host)
		return false
	}
	return ok
}

// eachLocation calls a function for the places that may have a module, in order, until one has it.
func (r *Registries) eachLocation(ctx context.Context, uri string, f func(location) error) error {
	locations := r.sources.locations(uri)
	var before error
	for n, l := range locations {
		err := f(l)
		if err == nil {
			if l.mirror {
				klog.FromContext(ctx).V(2).Info("A mirror serves a module", "mirror", Redact(l.uri))
			}
			return nil
		}
		e := classify(err)
		if l.mirror {
			e = &Error{Cause: e.Cause, Err: &mirrorError{uri: Redact(l.uri), err: e.Err}}
		}
		if before != nil {
			e = &Error{Cause: e.Cause, Err: &twoErrors{first: before, second: e.Err}}
		}
		// The verifier may also return errdef.ErrNotFound.
		goOn := unanswered(e) || e.Cause == CauseNotFound || errors.Is(e, errdef.ErrNotFound)
		if n == len(locations)-1 || ctx.Err() != nil || !goOn {
			return e
		}
		klog.FromContext(ctx).Info("A mirror cannot serve a module: asking the source itself",
			"mirror", Redact(l.uri), "err", e.Err)
		before = e.Err
	}
	return nil
}

type mirrorError struct {
	uri string
	err error
}

func (m *mirrorError) Error() string { return "mirror " + m.uri + ": " + m.err.Error() }
func (m *mirrorError) Unwrap() error { return m.err }

// twoErrors holds the errors of a mirror and then of the source itself. The latter counts.
type twoErrors struct{ first, second error }

func (t *twoErrors) Error() string {
	return "source: " + t.second.Error() + "; before that, " + t.first.Error()
}
func (t *twoErrors) Unwrap() error { return t.second }
