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

package bundling

import (
	"bytes"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"

	"github.com/wasm-admission/wasm-admission/pkg/layout"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// Anybody who may push controls the content beside a module, but not its size.
func TestWhatStandsBesideAModuleIsBounded(t *testing.T) {
	source := memory.New()
	blob := make([]byte, 100)
	first := orascontent.NewDescriptorFromBytes(ocispec.MediaTypeImageLayer, blob)
	second := orascontent.NewDescriptorFromBytes(ocispec.MediaTypeImageLayer, blob[:99])
	third := orascontent.NewDescriptorFromBytes(ocispec.MediaTypeImageLayer, blob[:2])
	writer, err := layout.NewWriter(t.TempDir() + "/bundle")
	require.NoError(t, err)
	c := &collector{writer: writer, left: 200}
	a := module.Artifact{Source: source}
	for _, d := range []ocispec.Descriptor{first, second} {
		require.NoError(t, source.Push(t.Context(), d, bytes.NewReader(blob[:d.Size])))
		require.NoError(t, c.copyBlob(t.Context(), a, d, 100))
	}
	require.ErrorContains(t, c.copyBlob(t.Context(), a, third, 100),
		"the content beside the module has more than")
	require.ErrorContains(t, c.copyBlob(t.Context(), a, first, 99),
		"has 100 bytes, at most 99 are allowed")
}
