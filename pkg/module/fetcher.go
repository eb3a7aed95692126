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
	"fmt"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Options configure a [Fetcher].
type Options struct {
	// MaxBytes is the largest module that is read, in bytes. Required.
	MaxBytes int64
	// Store keeps what comes from registries and servers; nil means that nothing is
	// kept, and that every module is downloaded at every start.
	Store *Store
	// Sources say how registries and servers are asked.
	Sources Sources
	// Verifier decides whether a module may be used; nil means that all may.
	Verifier Verifier
	// ReadFile reads a file:// module, and what stands beside it, by an absolute path. nil
	// refuses what others could have written, as a server must.
	ReadFile ReadFile
	// Progress is told, as often as there is something new, how many bytes of a module have come
	// from a registry or server, or gone to a registry, and of how many, which is zero if nobody knows. It must be quick.
	// Concurrent requests call it concurrently. nil is not told anything.
	Progress func(bytes, total int64)
	// AnyLayout reads OCI image layouts that others could have written, as a server must not.
	AnyLayout bool
}

// ReadFile returns the content of a file, which may have maxBytes. If there is no file the
// error wraps [fs.ErrNotExist].
type ReadFile func(path string, maxBytes int64) ([]byte, error)

// Fetcher reads modules. Make one with [NewFetcher]; one that is made as a literal
// with MaxBytes reads files only. It is safe for concurrent use. It logs with the
// logger of the context.
type Fetcher struct {
	// MaxBytes is the largest module that is read, in bytes.
	MaxBytes int64

	verifier Verifier
	puller   *puller
	read     ReadFile // nil is the safe one
}

// NewFetcher returns a fetcher for files, registries and web servers. It reads the
// certificates and credentials that the sources name, so that mistakes come out at
// once, and reports all of them together; it reads them again when it needs them.
func NewFetcher(options Options) (*Fetcher, error) {
	if options.MaxBytes <= 0 {
		return nil, fmt.Errorf("modules cannot be bounded to %d bytes", options.MaxBytes)
	}
	puller, err := newPuller(options)
	if err != nil {
		return nil, err
	}
	return &Fetcher{MaxBytes: options.MaxBytes, verifier: options.Verifier, puller: puller, read: options.ReadFile}, nil
}

// Request says what to fetch.
type Request struct {
	// URI is where the module is: file:// and an absolute path that stands for itself,
	// without escapes; oci-layout:// and the absolute path of an OCI image layout, with :tag
	// or :host/repository:tag as its index has it, or @digest of the manifest; registry:// and host/repository with :tag (default "latest"),
	// @digest of the manifest, or both, of which the digest counts; https:// and what a
	// web server knows it by; http:// likewise, for hosts that [Sources] call insecure.
	URI string
	// Digest is that of the module itself, as [Module.Digest]. Anything else is refused
	// with a [*DigestError]; "" accepts what there is.
	Digest string
	// Have is what an earlier request for the same URI returned. It need have no Bytes.
	// If it is still what the source has to offer, it is returned itself and nothing is
	// read. nil means that there is nothing to compare with.
	Have *Module
	// Demands are what the module has to meet beside what all have to, in the terms of
	// the verifier; "" is nothing.
	Demands string
}

// Get reads a module. Errors from registries and servers are [*Error]. To ask again
// is cheap: a tag costs one HEAD request if it stands for what it stood for before.
// Two requests for the same URI wait for each other.
func (f *Fetcher) Get(ctx context.Context, request Request) (*Module, error) {
	if path, ok := strings.CutPrefix(request.URI, "file://"); ok {
		return f.fromFile(ctx, path, request)
	}
	if f.puller == nil {
		return nil, fmt.Errorf("%s is not supported here, only file:// and an absolute path is", Redact(request.URI))
	}
	m, err := f.puller.get(ctx, request)
	if err != nil {
		return nil, withURI(request.URI, err)
	}
	return m, nil
}

func (f *Fetcher) fromFile(ctx context.Context, path string, request Request) (*Module, error) {
	read := f.read
	if read == nil {
		read = safefile.Read
	}
	bytes, err := readFile(read, path, f.MaxBytes)
	if err != nil {
		return nil, err
	}
	m := &Module{Bytes: bytes, Digest: engine.Digest(bytes)}
	if err := checkDigest(request.Digest, m.Digest); err != nil {
		return nil, withURI(request.URI, err)
	}
	if request.Have != nil && request.Have.Digest == m.Digest && acceptedBefore(f.verifier, request.Demands, request.Have.VerifiedBy) {
		return request.Have, nil
	}
	m.VerifiedBy, m.Proof.Evidence, err = verify(ctx, f.verifier, Artifact{
		URI: request.URI, Digest: m.Digest, Demands: request.Demands, Bytes: bytes, Beside: besideFile(read, path),
	})
	if err != nil {
		return nil, withURI(request.URI, err)
	}
	m.Proof = m.Proof.held()
	return m, nil
}

// checkDigest compares the digest of a module with the one that was asked for.
func checkDigest(want, got string) error {
	if want == "" || want == got {
		return nil
	}
	return &Error{Cause: CauseDigest, Err: &DigestError{What: "module", Want: want, Got: got}}
}

// withURI says what an error is about, without what may be secret.
func withURI(uri string, err error) error {
	e := classify(err)
	if errors.Is(err, context.Canceled) && e.Cause == CauseOther {
		return err
	}
	named := *e
	named.URI = Redact(uri)
	return &named
}
