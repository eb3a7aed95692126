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
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// repository is a TUF repository served on loopback.
type repository struct {
	server *httptest.Server
	root   *metadata.Metadata[metadata.RootType]
	signer signature.Signer

	mu    sync.Mutex
	files map[string][]byte
}

func newRepository(t testing.TB) *repository {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	r := &repository{files: map[string][]byte{}, root: metadata.Root(time.Now().Add(time.Hour))}
	r.signer, err = signature.LoadSigner(key, crypto.Hash(0))
	require.NoError(t, err)
	public, err := metadata.KeyFromPublicKey(key.Public())
	require.NoError(t, err)
	for _, role := range []string{
		metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP,
	} {
		require.NoError(t, r.root.Signed.AddKey(public, role))
	}
	_, err = r.root.Sign(r.signer)
	require.NoError(t, err)
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *repository) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	content, ok := r.files[request.URL.Path]
	if !ok {
		http.NotFound(w, request)
		return
	}
	_, _ = w.Write(content)
}

// publish publishes a trust root in the repository, with the version and expiry of its metadata.
func (r *repository) publish(t testing.TB, content []byte, version int64, expires time.Time) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.files)
	sum := sha256.Sum256(content)
	path := filepath.Join(t.TempDir(), "trusted_root.json")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	file, err := metadata.TargetFile().FromFile(path, "sha256")
	require.NoError(t, err)
	targets := metadata.Targets(expires)
	targets.Signed.Version, targets.Signed.Targets["trusted_root.json"] = version, file
	snapshot := metadata.Snapshot(expires)
	snapshot.Signed.Version, snapshot.Signed.Meta["targets.json"] = version,
		metadata.MetaFile(version)
	timestamp := metadata.Timestamp(expires)
	timestamp.Signed.Version, timestamp.Signed.Meta["snapshot.json"] = version,
		metadata.MetaFile(version)
	for _, sign := range []func(signature.Signer) (*metadata.Signature, error){
		targets.Sign, snapshot.Sign, timestamp.Sign,
	} {
		_, err := sign(r.signer)
		require.NoError(t, err)
	}
	put := func(name string, encode func(bool) ([]byte, error)) {
		encoded, err := encode(false)
		require.NoError(t, err)
		r.files[name] = encoded
	}
	put(fmt.Sprintf("/%d.targets.json", version), targets.ToBytes)
	put(fmt.Sprintf("/%d.snapshot.json", version), snapshot.ToBytes)
	put("/timestamp.json", timestamp.ToBytes)
	r.files["/targets/"+hex.EncodeToString(sum[:])+".trusted_root.json"] = content
}

func (r *repository) source(t testing.TB, embedded []byte, since time.Time) source {
	t.Helper()
	anchor, err := r.root.ToBytes(false)
	require.NoError(t, err)
	return source{repository: r.server.URL, anchor: anchor, embedded: embedded, since: since}
}

func TestEmbeddedRoot(t *testing.T) {
	p, err := OpenPublicGood(PublicGoodOptions{})
	require.NoError(t, err, "make it anew: hack/update-trusted-root.sh")
	require.Equal(t, Status{Source: verification.RootEmbedded, Since: embeddedSince}, p.Status())
	require.NotEmpty(t, p.Current().material.RekorLogs())
	require.NotEmpty(t, p.Current().material.CTLogs())
	require.NotEmpty(t, p.Current().material.TimestampingAuthorities())
}

func TestRefresh(t *testing.T) {
	r, directory := newRepository(t), filepath.Join(t.TempDir(), "sigstore")
	old, renewed := newForge(t).parts().json(t), newForge(t).parts().json(t)
	since := time.Now().Add(-48 * time.Hour)
	r.publish(t, renewed, 2, time.Now().Add(time.Hour))
	p, err := open(PublicGoodOptions{Directory: directory}, r.source(t, old, since))
	require.NoError(t, err)
	require.Equal(t, Status{Source: verification.RootEmbedded, Since: since}, p.Status())
	before := p.Current().Digest()
	require.NoError(t, p.Refresh(t.Context()))
	require.Equal(t, verification.RootTUF, p.Status().Source)
	require.True(t, p.Status().Since.After(since))
	require.NotEqual(t, before, p.Current().Digest())

	// The next process starts with the cached root, without network access.
	r.server.Close()
	again, err := open(PublicGoodOptions{Directory: directory}, r.source(t, old, since))
	require.NoError(t, err)
	require.Equal(t, verification.RootCached, again.Status().Source)
	require.True(t, again.Status().Since.Equal(p.Status().Since))
	require.Equal(t, p.Current().Digest(), again.Current().Digest())
	require.ErrorContains(t, again.Refresh(t.Context()), "cannot be fetched")
	require.Equal(t, verification.RootCached, again.Status().Source)
	require.Error(t, again.Status().Err)
	require.Equal(t, p.Current().Digest(), again.Current().Digest())

	// A newer program contains a newer copy.
	newer, err := open(PublicGoodOptions{Directory: directory},
		r.source(t, old, time.Now().Add(time.Second)))
	require.NoError(t, err)
	require.Equal(t, verification.RootEmbedded, newer.Status().Source)
}

// A root of today is not fetched again.
func TestRefreshOld(t *testing.T) {
	r := newRepository(t)
	old, renewed := newForge(t).parts().json(t), newForge(t).parts().json(t)
	r.publish(t, renewed, 2, time.Now().Add(time.Hour))
	for since, want := range map[time.Duration]verification.RootSource{
		23 * time.Hour: verification.RootEmbedded,
		25 * time.Hour: verification.RootTUF,
	} {
		p, err := open(PublicGoodOptions{}, r.source(t, old, time.Now().Add(-since)))
		require.NoError(t, err)
		require.NoError(t, p.RefreshOld(t.Context()))
		require.Equal(t, want, p.Status().Source)
	}
}

func TestRefreshRefuses(t *testing.T) {
	old, renewed := newForge(t).parts().json(t), newForge(t).parts().json(t)
	empty := newForge(t).parts()
	empty.authorities = nil
	hour := time.Now().Add(time.Hour)
	for _, c := range []struct {
		name, err string
		spoil     func(*repository)
	}{
		{"expired metadata", "expired", func(r *repository) {
			r.publish(t, renewed, 3, time.Now().Add(-time.Minute))
		}},
		{"older metadata", "version", func(r *repository) { r.publish(t, renewed, 1, hour) }},
		{"root without authorities", "no certificate authority", func(r *repository) {
			r.publish(t, empty.json(t), 3, hour)
		}},
		{"another root than was signed", "length", func(r *repository) {
			r.publish(t, renewed, 3, hour)
			for name := range r.files {
				if filepath.Base(filepath.Dir(name)) == "targets" {
					r.files[name] = append(renewed, ' ')
				}
			}
		}},
		{"signed by a foreign key", "signature", func(r *repository) {
			foreign := newRepository(t)
			foreign.publish(t, renewed, 3, hour)
			r.files = foreign.files
		}},
		{"nothing there", "404", func(r *repository) { clear(r.files) }},
		{"a redirect", "302", func(r *repository) {
			r.server.Config.Handler = http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRepository(t)
			r.publish(t, old, 2, hour)
			p, err := open(PublicGoodOptions{Directory: filepath.Join(t.TempDir(), "sigstore")},
				r.source(t, old, time.Now()))
			require.NoError(t, err)
			require.NoError(t, p.Refresh(t.Context()))
			before := p.Current()
			c.spoil(r)
			require.ErrorContains(t, p.Refresh(t.Context()), c.err)
			require.Same(t, before, p.Current())
		})
	}
}

func TestSpoiledCache(t *testing.T) {
	r := newRepository(t)
	embedded := newForge(t).parts().json(t)
	since := time.Now().Add(-time.Hour)
	for _, c := range []struct {
		name, err string
		spoil     func(directory, file string) error
	}{
		{"no JSON", "kept trust root", func(_, file string) error {
			return os.WriteFile(file, []byte("none"), 0o600)
		}},
		{"of no use", "kept trust root", func(_, file string) error {
			return os.WriteFile(file, []byte(`{"trustedRoot":{}}`), 0o600)
		}},
		{"from the future", "from the future", func(_, file string) error {
			return os.WriteFile(file, []byte(`{"since":"2999-01-01T00:00:00Z","trustedRoot":{}}`),
				0o600)
		}},
		{"readable by others", "no access", func(_, file string) error { return os.WriteFile(file, []byte("{}"), 0o644) }}, //nolint:gosec // that is the test
		{"directory of others", "no access", func(directory, _ string) error { return os.Chmod(directory, 0o755) }},        //nolint:gosec // that is the test
		{"symbolic link", "kept trust root", func(_, file string) error {
			return os.Symlink("/dev/null", file)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			directory := filepath.Join(t.TempDir(), "sigstore")
			require.NoError(t, os.Mkdir(directory, 0o700))
			require.NoError(t, c.spoil(directory, filepath.Join(directory, "trusted_root.json")))
			p, err := open(PublicGoodOptions{Directory: directory}, r.source(t, embedded, since))
			require.NoError(t, err)
			require.Equal(t, verification.RootEmbedded, p.Status().Source)
			require.ErrorContains(t, p.Status().Err, c.err)
			_, err = open(PublicGoodOptions{Directory: directory}, r.source(t, []byte("{}"), since))
			require.ErrorContains(t, err, c.err)
			require.ErrorContains(t, err, "the embedded copy")
		})
	}
	_, err := open(PublicGoodOptions{Directory: "sigstore"}, r.source(t, embedded, since))
	require.ErrorContains(t, err, "not an absolute path")
}

func TestRun(t *testing.T) {
	for _, kept := range []bool{true, false} {
		r, directory := newRepository(t), filepath.Join(t.TempDir(), "sigstore")
		r.publish(t, newForge(t).parts().json(t), 2, time.Now().Add(time.Hour))
		p, err := open(PublicGoodOptions{Directory: directory},
			r.source(t, newForge(t).parts().json(t), time.Now().Add(-2*refreshEvery)))
		require.NoError(t, err)
		if !kept {
			require.NoError(t,
				os.MkdirAll(filepath.Join(directory, "trusted_root.json", "in the way"), 0o700))
		}
		ctx, cancel := context.WithCancel(t.Context())
		log, notes := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true))),
			&rootNotes{}
		ctx = klog.NewContext(ctx, log)
		changed, done := make(chan struct{}, 1), make(chan struct{})
		go func() {
			defer close(done)
			p.Run(ctx, verification.RootOptions{
				Changed:  func() { changed <- struct{}{} },
				Recorder: notes,
			})
		}()
		<-changed
		require.Equal(t, verification.RootTUF, p.Status().Source)
		cancel()
		<-done
		require.Equal(t, &rootNotes{"tuf", p.Status().Since}, notes)
		said := log.GetSink().(ktesting.Underlier).GetBuffer().String()
		require.Equal(t, 1, strings.Count(said, "is not known to be the newest"),
			"the embedded copy was in use at first: %s", said)
		require.Contains(t, said, `source="embedded"`)
		require.Contains(t, said, `age="48h0m0s"`)
		if !kept {
			require.ErrorContains(t, p.Status().Err, "cannot be saved")
		}
	}
}

// A root that was not refreshed for days causes a warning at each failed refresh.
func TestOldRootsAreWarnedOf(t *testing.T) {
	p, err := open(PublicGoodOptions{},
		source{repository: "https://tuf.example.com", embedded: newForge(t).parts().json(t)})
	require.NoError(t, err)
	for _, c := range []struct {
		source verification.RootSource
		age    time.Duration
		warned bool
	}{
		{verification.RootEmbedded, 0, true},
		{verification.RootCached, oldAfter - time.Hour, false},
		{verification.RootCached, oldAfter + time.Hour, true},
		{verification.RootTUF, time.Hour, false},
		{verification.RootTUF, oldAfter + time.Hour, true},
	} {
		log, notes := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true))),
			&rootNotes{}
		p.status = Status{Source: c.source, Since: time.Now().Add(-c.age)}
		p.tell(log, notes)
		require.Equal(t, c.warned,
			strings.Contains(log.GetSink().(ktesting.Underlier).GetBuffer().String(),
				"let this machine reach https://tuf.example.com"), c)
		require.Equal(t, &rootNotes{string(c.source), p.status.Since}, notes)
	}
}
