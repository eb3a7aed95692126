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

package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// refreshTimeout is how long a command waits for the public Sigstore's trust root. Who has no
// network has a copy.
const refreshTimeout = 10 * time.Second

// checker returns what checks the signatures that a config demands. Keys need no trust root.
func (c *command) checker(ctx context.Context, f *verificationFlags, config *verification.Config) (verification.Checker, error) {
	switch {
	case len(f.sigstoreTrustConfig) > 0: // a wrong one is wrong, whether it is needed or not
		root, err := readTrustRoot(f.sigstoreTrustConfig[0])
		if err != nil {
			return nil, err
		}
		return sigstore.New(func() *sigstore.Root { return root }), nil
	case !config.Keyless():
		return sigstore.New(nil), nil
	}
	public, err := c.refreshedPublicGood(ctx)
	if err != nil {
		return nil, err
	}
	return sigstore.New(public.Current), nil
}

// refreshedPublicGood returns the public Sigstore's trust root as it is now, or as it was last
// known with a warning.
func (c *command) refreshedPublicGood(ctx context.Context) (*sigstore.PublicGood, error) {
	public, err := publicGood()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	done := c.Progress("Asking for the trust root of the public Sigstore")
	err = public.RefreshOld(ctx)
	done()
	if err != nil {
		fmt.Fprintf(c.Err, "Warning: %v; certificates are verified by what is known since %s\n", err, public.Status().Since.UTC().Format(time.DateOnly))
	}
	return public, nil
}

// imageChecker returns what checks the signatures of the images that policies ask about. While a
// policy waits there is no time to ask for a trust root: the public Sigstore's is what was
// fetched last to verify a policy, or what the program was built with.
func imageChecker(f *verificationFlags) (verification.Checker, error) {
	if len(f.sigstoreTrustConfig) > 0 {
		root, err := readTrustRoot(f.sigstoreTrustConfig[0])
		if err != nil {
			return nil, err
		}
		return sigstore.New(func() *sigstore.Root { return root }), nil
	}
	root := sync.OnceValue(func() *sigstore.Root {
		public, err := publicGood()
		if err != nil {
			return nil
		}
		return public.Current()
	})
	return sigstore.New(root), nil
}

// publicGood returns the public Sigstore's trust root, which is kept where kwctl keeps it, in a
// directory of its own: the files are others.
func publicGood() (*sigstore.PublicGood, error) {
	options := sigstore.PublicGoodOptions{}
	if directory, err := policystore.ConfigDirectory(); err == nil {
		options.Directory = filepath.Join(directory, "fulcio_and_rekor_data", "wasmctl")
	}
	return sigstore.OpenPublicGood(options)
}

func readTrustRoot(path string) (*sigstore.Root, error) {
	content, err := readUpTo(path, sigstore.MaxRootBytes)
	if err != nil {
		return nil, fmt.Errorf("--sigstore-trust-config: %w", err)
	}
	root, err := sigstore.ParseRoot(content, time.Now())
	if err != nil {
		return nil, fmt.Errorf("--sigstore-trust-config: %s: %w", path, err)
	}
	return root, nil
}
