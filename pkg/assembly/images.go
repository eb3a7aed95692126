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

package assembly

import (
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci/images"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// NewImages returns a reader of images in the registries that a configuration names. If checker is
// nil, every question about signatures fails. If recorder is nil, nothing is recorded.
func NewImages(config *wasmadmission.WasmAdmissionConfiguration, checker verification.Checker,
	recorder images.Recorder) (oci.Images, error) {
	c := &config.Capabilities.OCI
	return images.New(images.Options{
		Sources: sources(&config.Sources), Registries: c.Registries, Redirects: c.Redirects,
		DeniedRanges: c.DeniedRanges, Checker: checker,
		CacheEntries: int(c.CacheEntries), CacheBytes: c.CacheSize,
		CacheTTL: c.CacheTTL.Duration, FailureTTL: c.FailureTTL.Duration,
		StaleTTL:    c.StaleTTL.Duration,
		LookTimeout: c.LookTimeout.Duration, PolicyLooks: int(c.PolicyLooks),
		RegistryLooks: int(c.RegistryLooks),
		Recorder:      recorder,
	})
}
