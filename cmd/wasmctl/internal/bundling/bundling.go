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

// Package bundling takes policies to where there is no network: it collects what a configuration needs into one OCI image
// layout, and says whether a layout has it and can be believed.
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
	// fileType is the artifactType of a file on a web server and of the bundle beside it.
	fileType = "application/vnd.wasm-admission.file.v1"
	// rootType is the artifactType of a trust root, and rootName what the index calls it.
	rootType = "application/vnd.wasm-admission.trust-root.v1"
	rootName = "trust-root"
	// rootMediaType is that of the trust root itself.
	rootMediaType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
	wasmMediaType = "application/vnd.wasm.content.layer.v1+wasm"
)

// RootFile is what the trust root is called.
const RootFile = "trusted_root.json"

// Wanted is what is collected, or has to be there.
type Wanted struct {
	// Config is a valid configuration; with it come the modules of its policies and of the manifests in its policy
	// directory. What it demands of signatures is demanded of all modules.
	Config *wasmadmission.WasmAdmissionConfiguration
	// URIs are further modules.
	URIs []string
	// Root is the trust root, nil if there is none.
	Root *sigstore.Root
}

// requests returns what to fetch, in order and each once, and the URIs of what stays where it is: files.
func (w *Wanted) requests(ctx context.Context) (requests []module.Request, local []string, err error) {
	desired, err := reload.NewSource(w.Config).Policies(ctx)
	if err != nil {
		return nil, nil, err
	}
	all := wasmadmission.WasmAdmissionConfiguration{Policies: desired.Policies, PolicyGroups: desired.PolicyGroups}
	policyset.FetchProblems(&all, func(request module.Request) error {
		requests = append(requests, request)
		return nil
	})
	for _, uri := range w.URIs {
		requests = append(requests, module.Request{URI: uri})
	}
	slices.SortStableFunc(requests, func(a, b module.Request) int { return strings.Compare(a.URI, b.URI) })
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

// Validate says what is wrong with the configuration and the URIs, a line each.
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
				err = errors.Join(err, fmt.Errorf("%s: has a query or a fragment, which may be a secret and would be in the bundle: serve the module at a path of its own", module.Redact(uri)))
			}
		default:
			err = errors.Join(err, fmt.Errorf("%s: is in no registry and on no web server: only such modules are bundled", module.Redact(uri)))
		}
	}
	return err
}

// newChecker makes what checks signatures by the trust root that is there, whatever the configuration has.
func (w *Wanted) newChecker(context.Context, *wasmadmission.WasmAdmissionConfiguration, verification.RootOptions) (verification.Checker, error) {
	if w.Root == nil {
		return sigstore.New(nil), nil
	}
	return sigstore.New(func() *sigstore.Root { return w.Root }), nil
}

// Module is a module in a bundle.
type Module struct {
	// URI is what the configuration calls it.
	URI string
	// Digest is that of the manifest of one from a registry, and of the module itself from a web server.
	Digest string
	// Signatures are how many there are: manifests in the old format and bundles in the new.
	Signatures int
}

// open opens a layout for a person.
func open(path string) (*layout.Layout, error) {
	return layout.Open(path, layout.Options{AnyOwner: true})
}
