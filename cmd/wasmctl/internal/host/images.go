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

package host

import (
	"context"
	"sync"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci/images"
)

// Images returns an [oci.Images] that asks registries as a server does, but allows all of them at
// any address, because the user at the terminal chooses the images. The options are requested when
// a policy first asks. An error is then an error of the policy's call.
func Images(options func() (images.Options, error)) oci.Images {
	return &anyImages{sync.OnceValues(func() (*images.Images, error) {
		o, err := options()
		if err != nil {
			return nil, err
		}
		o.Anywhere = true
		return images.New(o)
	})}
}

type anyImages struct {
	images func() (*images.Images, error)
}

// Ask implements [oci.Images].
func (a *anyImages) Ask(ctx context.Context, caller *capabilities.Caller, operation, image string,
	request []byte) ([]byte, error) {
	i, err := a.images()
	if err != nil {
		return nil, err
	}
	return i.Ask(ctx, caller, operation, image, request)
}
