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

// refreshTimeout is how long a command waits for the public Sigstore's trust root. Without a
// network, it uses a copy.
const refreshTimeout = 10 * time.Second

// checker returns the checker for the signatures that a config demands. Keys need no trust root.
func (c *command) checker(ctx context.Context, f *verificationFlags,
	config *verification.Config) (verification.Checker, error) {
	switch {
	case len(f.sigstoreTrustConfig) > 0: // an invalid file is an error even if it is not needed
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

// refreshedPublicGood returns the current trust root of the public Sigstore, or the latest known
// one with a warning.
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
		fmt.Fprintf(c.Err, "Warning: %v; certificates are verified with the trust root of %s\n",
			err, public.Status().Since.UTC().Format(time.DateOnly))
	}
	return public, nil
}

// imageChecker returns the checker for the signatures of images that policies ask about. There is
// no time to fetch a trust root while a policy waits. The public Sigstore's trust root is therefore
// the one fetched last to verify a policy, or the one built into the program.
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

// publicGood returns the public Sigstore's trust root. It is kept in a dedicated directory beside
// kwctl's, because the files differ.
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
