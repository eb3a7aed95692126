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

package top

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// endless is a file without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestMetricsThatDoNotEnd(t *testing.T) {
	s := &Source{
		Name:  "x",
		limit: 1 << 20,
		open:  func(context.Context) (io.ReadCloser, error) { return io.NopCloser(endless{}), nil },
	}
	_, err := s.Snapshot(t.Context())
	require.EqualError(t, err,
		"asking x: the metrics are longer than 1048576 bytes, more than those of any server: name an address that serves metrics")
}
