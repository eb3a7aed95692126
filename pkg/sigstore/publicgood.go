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

package sigstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// The times of a [PublicGood].
const (
	// refreshEvery is the age at which a trust root is refreshed.
	refreshEvery = 24 * time.Hour
	// refreshTimeout bounds one refresh.
	refreshTimeout = time.Minute
	// oldAfter is the age from which a warning is logged: the refreshes of three days have failed.
	oldAfter = 3 * refreshEvery
	// firstRetry and lastRetry bound the pause after a failed refresh, which doubles each time.
	firstRetry, lastRetry = time.Minute, time.Hour
)

// Status describes the state of the public trust root.
type Status struct {
	// Source is the origin of the root in use.
	Source verification.RootSource
	// Since is the time at which the root was known to be the newest. An older root may miss more
	// revocations and additions.
	Since time.Time
	// Err says why the last refresh failed, or why the cache was not used. It is nil if neither
	// happened.
	Err error
}

// PublicGoodOptions configure a [PublicGood]. The zero value keeps nothing on disk.
type PublicGoodOptions struct {
	// Directory is the absolute path of a dedicated directory that caches the fetched root. It is
	// created if missing, and must be private to be used. With "", every process starts with the
	// embedded copy.
	Directory string
	// Client fetches from the repository. Nil is a client that uses the proxies from the
	// environment. Redirects are not followed.
	Client *http.Client
}

// PublicGood holds the trust root of the public Sigstore. It is safe for concurrent use.
type PublicGood struct {
	options PublicGoodOptions
	source  source

	mu      sync.Mutex
	current *Root
	status  Status
}

// source says where a trust root comes from.
type source struct {
	// repository is the URL of the TUF repository, and anchor its trusted TUF root.
	repository string
	anchor     []byte
	embedded   []byte
	since      time.Time
}

// OpenPublicGood returns the trust root of the public Sigstore without network access. It uses the
// copy in the directory, or the embedded copy if that is newer or the other one is unusable.
// [PublicGood.Status] tells which. An error means that neither copy can be used.
func OpenPublicGood(options PublicGoodOptions) (*PublicGood, error) {
	return open(options, source{
		repository: tuf.DefaultMirror,
		anchor:     tuf.DefaultRoot(),
		embedded:   embeddedRoot,
		since:      embeddedSince,
	})
}

func open(options PublicGoodOptions, source source) (*PublicGood, error) {
	if options.Directory != "" && !filepath.IsAbs(options.Directory) {
		return nil, fmt.Errorf("the directory of the trust root is not an absolute path: %q",
			options.Directory)
	}
	p := &PublicGood{options: options, source: source}
	embedded, embeddedErr := ParseRoot(source.embedded, time.Now())
	cached, since, cacheErr := p.readCache()
	switch {
	case cacheErr == nil && cached != nil && (embeddedErr != nil || since.After(source.since)):
		p.current, p.status = cached, Status{Source: verification.RootCached, Since: since}
	case embeddedErr == nil:
		p.current, p.status = embedded,
			Status{Source: verification.RootEmbedded, Since: source.since, Err: cacheErr}
	default:
		return nil, fmt.Errorf("the trust root of the public Sigstore: the embedded copy: %w",
			errors.Join(embeddedErr, cacheErr))
	}
	return p, nil
}

// Current returns the trust root in use. It is never nil.
func (p *PublicGood) Current() *Root {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// Status returns the origin and age of the trust root in use.
func (p *PublicGood) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Run refreshes the trust root every day until the context ends. It starts at once if the root in
// use is older than a day. After a failure, it retries sooner, at the latest after an hour. It
// calls changed, from its own goroutine, after a different root replaced the root in use. At the
// start, and after each failed refresh, it logs a warning if the root is old.
func (p *PublicGood) Run(ctx context.Context, options verification.RootOptions) {
	logger := klog.FromContext(ctx)
	p.tell(logger, options.Recorder)
	pause, retry := time.Until(p.Status().Since.Add(refreshEvery)), firstRetry
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		before := p.Current().Digest()
		err := p.Refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		// A root that could not be cached is still in use.
		if digest := p.Current().Digest(); digest != before {
			logger.Info("The trust root of the public Sigstore has changed", "digest", digest)
			if options.Changed != nil {
				options.Changed()
			}
		}
		p.tell(logger, options.Recorder)
		if err == nil {
			pause, retry = refreshEvery, firstRetry
			continue
		}
		logger.Error(err, "The trust root of the public Sigstore could not be refreshed or saved",
			"since", p.Status().Since, "retryAfter", retry)
		pause, retry = retry, min(2*retry, lastRetry)
	}
}

// tell reports the origin of the root in use, and logs a warning if the root is old. An old root
// still refuses unknown certificates, but misses recent revocations and additions.
func (p *PublicGood) tell(logger klog.Logger, recorder verification.RootRecorder) {
	status := p.Status()
	if recorder != nil {
		recorder.SetTrustRoot(string(status.Source), status.Since)
	}
	age := time.Since(status.Since)
	if status.Source == verification.RootEmbedded || age > oldAfter {
		logger.Info(
			"Warning: the trust root of the public Sigstore is not known to be the newest: let this machine reach "+
				p.source.repository+", or name a file in verification.trustRoot",
			"source", status.Source, "since", status.Since.UTC().Format(time.RFC3339),
			"age", age.Round(time.Hour).String(), "err", status.Err)
	}
}

// Refresh fetches the trust root once, within a minute. On failure, the root in use stays.
func (p *PublicGood) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	fetched, err := p.fetch(ctx)
	now := time.Now()
	if err != nil {
		err = wrap("the trust root cannot be fetched from "+p.source.repository, err)
	} else if err = p.writeCache(fetched, now); err != nil {
		err = wrap("the trust root was fetched, but cannot be saved", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if fetched != nil {
		p.current, p.status = fetched, Status{Source: verification.RootTUF, Since: now}
	}
	p.status.Err = err
	return err
}

// RefreshOld calls Refresh if the root in use is more than a day old, like [PublicGood.Run].
func (p *PublicGood) RefreshOld(ctx context.Context) error {
	if time.Since(p.Status().Since) < refreshEvery {
		return nil
	}
	return p.Refresh(ctx)
}

// fetch fetches the root from the TUF repository. The metadata that the TUF client keeps in the
// directory lets it detect a rollback of the repository.
func (p *PublicGood) fetch(ctx context.Context) (fetched *Root, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			fetched, err = nil, fmt.Errorf("the TUF client panics: %v", cause)
		}
	}()
	options := &tuf.Options{
		Root: p.source.anchor, RepositoryBaseURL: p.source.repository,
		Fetcher:           newFetcher(ctx, p.options.Client),
		DisableLocalCache: p.options.Directory == "",
	}
	if p.options.Directory != "" {
		if err := safefile.PrivateDirectory(p.options.Directory); err != nil {
			return nil, err
		}
		lock, err := safefile.Lock(filepath.Join(p.options.Directory, "lock"))
		if err != nil {
			return nil, err
		}
		defer func() { _ = lock.Close() }() // nothing is written to it
		options.CachePath = filepath.Join(p.options.Directory, "tuf")
	}
	client, err := tuf.New(options)
	if err != nil {
		return nil, err
	}
	content, err := client.GetTarget("trusted_root.json")
	if err != nil {
		return nil, err
	}
	return ParseRoot(content, time.Now())
}

// kept is the content of the cache file in the directory.
type kept struct {
	Since       time.Time       `json:"since"`
	TrustedRoot json.RawMessage `json:"trustedRoot"`
}

func (p *PublicGood) keptPath() string {
	return filepath.Join(p.options.Directory, "trusted_root.json")
}

func (p *PublicGood) writeCache(r *Root, now time.Time) error {
	if p.options.Directory == "" {
		return nil
	}
	content, err := json.Marshal(kept{Since: now, TrustedRoot: r.JSON()})
	if err != nil {
		return err
	}
	return safefile.WritePrivate(p.keptPath(), content)
}

// readCache returns the cached root, or nil if there is none.
func (p *PublicGood) readCache() (*Root, time.Time, error) {
	if p.options.Directory == "" {
		return nil, time.Time{}, nil
	}
	if err := safefile.PrivateDirectory(p.options.Directory); err != nil {
		return nil, time.Time{}, fmt.Errorf("the directory of the trust root: %w", err)
	}
	content, err := safefile.ReadPrivate(p.keptPath(), MaxRootBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("the kept trust root: %w", err)
	}
	var k kept
	if err := json.Unmarshal(content, &k); err != nil {
		return nil, time.Time{}, wrap("the kept trust root", err)
	}
	if k.Since.After(time.Now()) {
		return nil, time.Time{}, fmt.Errorf(
			"the kept trust root is from the future, %s", k.Since.Format(time.RFC3339))
	}
	r, err := ParseRoot(k.TrustedRoot, time.Now())
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("the kept trust root: %w", err)
	}
	return r, k.Since, nil
}
