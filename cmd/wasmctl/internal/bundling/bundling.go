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

// Package bundling packs policies for servers without a network. It collects the needs of a
// configuration in one OCI image layout, and verifies that a layout is complete and trustworthy.
package bundling

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/layout"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

const (
	// fileType is the artifactType of a file from a web server and the bundle beside it.
	fileType = "application/vnd.wasm-admission.file.v1"
	// rootType is the artifactType of a trust root, and rootName its name in the index.
	rootType = "application/vnd.wasm-admission.trust-root.v1"
	rootName = "trust-root"
	// rootMediaType is the media type of the trust root itself.
	rootMediaType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
	wasmMediaType = "application/vnd.wasm.content.layer.v1+wasm"
)

// RootFile is the file name of the trust root.
const RootFile = "trusted_root.json"

// Wanted says what to collect, or what a bundle must contain.
type Wanted struct {
	// Config is a valid configuration. It adds the modules of its policies and of the manifests in
	// its policy directory. Its demands for signatures apply to all modules.
	Config *wasmadmission.WasmAdmissionConfiguration
	// URIs are further modules.
	URIs []string
	// Root is the trust root, or nil if there is none.
	Root *sigstore.Root
}

// requests returns the modules to fetch, sorted and without duplicates. It also returns the URIs of
// files, which are not bundled.
func (w *Wanted) requests(ctx context.Context) (requests []module.Request, local []string,
	err error) {
	desired, err := reload.NewSource(w.Config).Policies(ctx)
	if err != nil {
		return nil, nil, err
	}
	all := wasmadmission.WasmAdmissionConfiguration{
		Policies:     desired.Policies,
		PolicyGroups: desired.PolicyGroups,
	}
	policyset.FetchProblems(&all, func(request module.Request) error {
		requests = append(requests, request)
		return nil
	})
	for _, uri := range w.URIs {
		requests = append(requests, module.Request{URI: uri})
	}
	slices.SortStableFunc(requests, func(a, b module.Request) int {
		return strings.Compare(a.URI, b.URI)
	})
	requests = slices.Compact(requests)
	remote := requests[:0]
	for _, request := range requests {
		switch scheme, _, _ := strings.Cut(request.URI, "://"); scheme {
		case "registry", "https", "http":
			remote = append(remote, request)
		default:
			local = append(local, request.URI)
		}
	}
	return remote, slices.Compact(local), nil
}

// Validate returns the problems of the configuration and the URIs, one per line.
func (w *Wanted) Validate() error {
	err := policyset.JoinProblems(validation.ValidateConfiguration(w.Config), nil)
	for _, uri := range w.URIs {
		switch scheme, rest, _ := strings.Cut(uri, "://"); scheme {
		case "registry":
			if _, parseErr := moduleuri.ParseReference(rest); parseErr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", module.Redact(uri), parseErr))
			}
		case "https", "http":
			if strings.ContainsAny(uri, "?#") {
				err = errors.Join(err,
					fmt.Errorf(
						"%s: has a query or a fragment, which may be a secret and would be in the bundle: serve the module at its own path",
						module.Redact(uri)))
			}
		default:
			err = errors.Join(err,
				fmt.Errorf(
					"%s: is neither in a registry nor on a web server: only such modules are bundled",
					module.Redact(uri)))
		}
	}
	return err
}

// newChecker returns a checker with the available trust root, whatever the configuration says.
func (w *Wanted) newChecker(context.Context, *wasmadmission.WasmAdmissionConfiguration,
	verification.RootOptions) (verification.Checker, error) {
	if w.Root == nil {
		return sigstore.New(nil), nil
	}
	return sigstore.New(func() *sigstore.Root { return w.Root }), nil
}

// Module is a module in a bundle.
type Module struct {
	// URI is the module's name in the configuration.
	URI string
	// Digest is the digest of the manifest for a module from a registry, and of the module itself
	// for one from a web server.
	Digest string
	// Signatures is the number of signatures: manifests in the old format and bundles in the new
	// one.
	Signatures int
}

// open opens a layout without the checks of a server on its files.
func open(path string) (*layout.Layout, error) {
	return layout.Open(path, layout.Options{AnyOwner: true})
}
