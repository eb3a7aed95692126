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

// Package sources fetches policy modules for users at a terminal: from their files, and from
// registries and web servers as configured by kwctl's flags.
package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// Options configure a [Fetcher].
type Options struct {
	// MaxBytes is the maximum size of a module in bytes. It is required.
	MaxBytes int64
	// SourcesPath is the path of a Kubewarden sources.yml. With "", it is sources.yaml in kwctl's
	// directory, if that exists.
	SourcesPath string
	// DockerConfigDirectory holds Docker's config.json. With "", it is the directory in the
	// environment variable DOCKER_CONFIG, or else ~/.docker, if the file exists there.
	DockerConfigDirectory string
	// StoreDirectory is the directory for modules from registries. With "", they are not kept.
	StoreDirectory string
	// Policies is the store from which pulled modules are taken without network access. Nil means
	// no store. Modules named by a digest or by the tag "latest" are not taken from it.
	Policies *policystore.Store
	// Verifier decides whether a module may be used. Nil allows all. With a verifier, the source
	// must confirm modules from Policies.
	Verifier module.Verifier
	// Progress receives the progress of downloads. It may be nil.
	Progress func(bytes, total int64)
}

// Fetcher fetches modules. It is safe for concurrent use. Close it after use.
type Fetcher struct {
	options Options

	asking sync.Once
	// sources configure the access to registries and web servers. They are read on demand.
	sources    module.Sources
	sourcesErr error
	temporary  string

	once sync.Once
	// remote fetches modules that are not in files, and keeps them in store. Both are created on
	// demand.
	remote *module.Fetcher
	store  *module.Store
	err    error
}

// NewFetcher returns a fetcher.
func NewFetcher(options Options) *Fetcher { return &Fetcher{options: options} }

// Close removes temporary files.
func (f *Fetcher) Close() error {
	if f.temporary == "" {
		return nil
	}
	return os.RemoveAll(f.temporary)
}

// URI returns the URI of a module named on a command line. A path stands for its file, and the
// beginning of a digest for the file in the store of policies.
func URI(argument string) (string, error) {
	if strings.Contains(argument, "://") {
		return argument, nil
	}
	if _, err := os.Stat(argument); errors.Is(err, os.ErrNotExist) {
		if policystore.IsDigestBeginning(argument) {
			return storedURI(argument)
		}
		return "", fmt.Errorf(
			"there is no file %s: give a path or a URI such as registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3",
			argument)
	}
	path, err := filepath.Abs(argument)
	if err != nil {
		return "", err
	}
	return "file://" + path, nil
}

// storedURI returns the URI of the file in the store whose digest begins with the text.
func storedURI(beginning string) (string, error) {
	store, err := policystore.Default()
	if err != nil {
		return "", err
	}
	uri, _, err := store.Find(beginning)
	if err != nil {
		return "", err
	}
	place, err := policystore.Place(uri)
	if err != nil {
		return "", err
	}
	return "file://" + filepath.Join(store.Root(), filepath.FromSlash(place)), nil
}

// Get fetches a module. Unlike a server, it reads files that others could have written.
func (f *Fetcher) Get(ctx context.Context, request module.Request) (*module.Module, error) {
	if path, isFile := strings.CutPrefix(request.URI, "file://"); isFile {
		return f.fromFile(ctx, path, request)
	}
	if m, err := f.pulled(ctx, request); m != nil || err != nil {
		return m, err
	}
	remote, err := f.Remote(ctx)
	if err != nil {
		return nil, err
	}
	return remote.Get(ctx, request)
}

// Remote returns the fetcher for modules that are not in files. The first call creates it.
func (f *Fetcher) Remote(ctx context.Context) (*module.Fetcher, error) {
	f.once.Do(func() { f.remote, f.err = f.newRemote(ctx) })
	return f.remote, f.err
}

func (f *Fetcher) fromFile(ctx context.Context, path string,
	request module.Request) (*module.Module, error) {
	if uri, ok := f.pulledFrom(path); ok {
		bytes, err := readFile(path, f.options.MaxBytes)
		if err != nil {
			return nil, sizeError(err)
		}
		request.URI = uri
		return f.vouched(ctx, request, bytes)
	}
	local, err := module.NewFetcher(module.Options{
		MaxBytes: f.options.MaxBytes,
		Verifier: f.options.Verifier,
		ReadFile: readFile,
	})
	if err != nil {
		return nil, err
	}
	return local.Get(ctx, request)
}

// pulled returns the module for a request from the store of policies, or nil if there is none.
func (f *Fetcher) pulled(ctx context.Context, request module.Request) (*module.Module, error) {
	if f.options.Policies == nil || !policystore.IsFixed(request.URI) {
		return nil, nil
	}
	bytes, err := f.options.Policies.Get(request.URI)
	if errors.As(err, new(*policystore.NotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := newModule(bytes, f.options.MaxBytes, request.Digest)
	if errors.As(err, new(*module.DigestError)) { // the source may have the right one by now
		return nil, nil
	}
	if err != nil || f.options.Verifier == nil {
		return m, err
	}
	return f.vouched(ctx, request, bytes)
}

// readFile is a [module.ReadFile] for users' files, which others may have written.
func readFile(path string, maxBytes int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	bytes, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(bytes)) > maxBytes {
		// Only limit+1 bytes were read, so ask the file for its size.
		if info, err := file.Stat(); err == nil {
			return nil, &safefile.TooLargeError{Path: path, Size: info.Size(), Max: maxBytes}
		}
	}
	return bytes, nil
}

func tooLarge(size, maxBytes int64) error {
	return &engine.LimitError{
		Limit:   "bytes of module",
		Value:   size,
		Max:     maxBytes,
		Setting: "limits.moduleSize",
	}
}

// newModule refuses a module that is too large, or that does not have the requested digest.
func newModule(bytes []byte, maxBytes int64, digest string) (*module.Module, error) {
	if size := int64(len(bytes)); size > maxBytes {
		return nil, tooLarge(size, maxBytes)
	}
	m := &module.Module{Bytes: bytes, Digest: engine.Digest(bytes)}
	if digest != "" && digest != m.Digest {
		return nil, &module.DigestError{What: "module", Want: digest, Got: m.Digest}
	}
	return m, nil
}

func (f *Fetcher) newRemote(ctx context.Context) (*module.Fetcher, error) {
	sources, err := f.Sources(ctx)
	if err != nil {
		return nil, err
	}
	if f.store, err = f.openStore(); err != nil {
		klog.FromContext(ctx).Error(err, "Modules cannot be stored and must be fetched every time")
	}
	return module.NewFetcher(module.Options{
		MaxBytes:  f.options.MaxBytes,
		Sources:   sources,
		Store:     f.store,
		Verifier:  f.options.Verifier,
		Progress:  f.options.Progress,
		AnyLayout: true,
	})
}

func (f *Fetcher) openStore() (*module.Store, error) {
	if f.options.StoreDirectory == "" {
		return nil, nil
	}
	return module.OpenStore(f.options.StoreDirectory)
}
