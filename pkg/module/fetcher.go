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

// Options configures a [Fetcher].
type Options struct {
	// MaxBytes is the maximum size of a module in bytes. Required.
	MaxBytes int64
	// Store keeps what comes from registries and servers. Nil keeps nothing: every module is then
	// downloaded at every start.
	Store *Store
	// Sources configures access to registries and servers.
	Sources Sources
	// Verifier decides whether a module may be used. Nil accepts all modules.
	Verifier Verifier
	// ReadFile reads a file:// module, and files beside it, by absolute path. Nil refuses files
	// that others could have written, which a server must do.
	ReadFile ReadFile
	// Progress is called with the number of bytes of a module that were transferred to or from a
	// registry or server, and their total, or zero if the total is unknown. It must return quickly.
	// Concurrent requests call it concurrently. It may be nil.
	Progress func(bytes, total int64)
	// AnyLayout also reads OCI image layouts that others could have written. A server must not set
	// it.
	AnyLayout bool
}

// ReadFile returns the content of a file of at most maxBytes. If there is no file, the error wraps
// [fs.ErrNotExist].
type ReadFile func(path string, maxBytes int64) ([]byte, error)

// Fetcher reads modules. Create one with [NewFetcher]. A literal with only MaxBytes reads only
// files. A Fetcher is safe for concurrent use. It logs with the context's logger.
type Fetcher struct {
	// MaxBytes is the maximum size of a module in bytes.
	MaxBytes int64

	verifier Verifier
	puller   *puller
	read     ReadFile // nil reads safely
}

// NewFetcher returns a fetcher for files, registries, and web servers. It reads the certificates
// and credentials that the sources name, so that it reports all mistakes together and immediately.
// It reads them again when it needs them.
func NewFetcher(options Options) (*Fetcher, error) {
	if options.MaxBytes <= 0 {
		return nil, fmt.Errorf("modules cannot be bounded to %d bytes", options.MaxBytes)
	}
	puller, err := newPuller(options)
	if err != nil {
		return nil, err
	}
	return &Fetcher{
		MaxBytes: options.MaxBytes,
		verifier: options.Verifier,
		puller:   puller,
		read:     options.ReadFile,
	}, nil
}

// Request describes what to fetch.
type Request struct {
	// URI is the address of the module. One of these forms:
	//
	//  - file:// and an absolute path, taken literally, without escapes.
	//  - oci-layout:// and the absolute path of an OCI image layout, with :tag or
	//    :host/repository:tag as in its index, or @digest of the manifest.
	//  - registry:// and host/repository with :tag (default "latest"), with @digest of the manifest,
	//    or with both, of which the digest counts.
	//  - https:// and the module's address on a web server, or http:// for hosts that [Sources]
	//    lists as insecure.
	URI string
	// Digest is the expected digest of the module itself, like [Module.Digest]. Get refuses any
	// other module with a [*DigestError]. Empty accepts any module.
	Digest string
	// Have is the result of an earlier request for the same URI. It need not have Bytes. If the
	// source still offers the same module, Get returns Have itself and reads nothing. Nil means
	// that there is nothing to compare with.
	Have *Module
	// Demands are requirements for this module beyond those for all modules, in the verifier's
	// terms. Empty means none.
	Demands string
}

// Get reads a module. Errors from registries and servers are [*Error]. Repeating a request is
// cheap: an unchanged tag costs one HEAD request. Concurrent requests for the same URI wait for
// each other.
func (f *Fetcher) Get(ctx context.Context, request Request) (*Module, error) {
	if path, ok := strings.CutPrefix(request.URI, "file://"); ok {
		return f.fromFile(ctx, path, request)
	}
	if f.puller == nil {
		return nil, fmt.Errorf("%s is not supported here: only file:// with an absolute path is",
			Redact(request.URI))
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
	if request.Have != nil && request.Have.Digest == m.Digest &&
		acceptedBefore(f.verifier, request.Demands, request.Have.VerifiedBy) {
		return request.Have, nil
	}
	m.VerifiedBy, m.Proof.Evidence, err = verify(ctx, f.verifier, Artifact{
		URI: request.URI, Digest: m.Digest, Demands: request.Demands, Bytes: bytes,
		Beside: besideFile(read, path),
	})
	if err != nil {
		return nil, withURI(request.URI, err)
	}
	m.Proof = m.Proof.held()
	return m, nil
}

// checkDigest compares the digest of a module with the expected one.
func checkDigest(want, got string) error {
	if want == "" || want == got {
		return nil
	}
	return &Error{Cause: CauseDigest, Err: &DigestError{What: "module", Want: want, Got: got}}
}

// withURI adds the URI to an error, without secrets.
func withURI(uri string, err error) error {
	e := classify(err)
	if errors.Is(err, context.Canceled) && e.Cause == CauseOther {
		return err
	}
	named := *e
	named.URI = Redact(uri)
	return &named
}
