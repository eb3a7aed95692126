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
	"path/filepath"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// ForConfiguration returns a checker with the trust root that a validated configuration names, if
// any. It keeps the public Sigstore's trust root below the state directory, and refreshes it until
// the context ends. With a trust root in a file, the checker is a [verification.Refresher]. The
// error says why a trust root cannot be used.
func ForConfiguration(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
	o verification.RootOptions) (verification.Checker, error) {
	switch v := config.Verification; {
	case v != nil && v.TrustRoot.File != "":
		root, err := OpenFileRoot(v.TrustRoot.File, o.Recorder)
		if err != nil {
			return nil, err
		}
		return fileChecker{New(root.Current), root}, nil
	case v != nil && v.TrustRoot.PublicGood:
		options := PublicGoodOptions{}
		if config.StateDirectory != "" {
			options.Directory = filepath.Join(config.StateDirectory, "trust-root")
		}
		public, err := OpenPublicGood(options)
		if err != nil {
			return nil, err
		}
		go public.Run(ctx, o)
		return New(public.Current), nil
	}
	return New(nil), nil
}
