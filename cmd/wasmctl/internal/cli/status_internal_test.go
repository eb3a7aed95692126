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
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/status"
)

func TestStatusExitsWithWhatIsWorst(t *testing.T) {
	running, refused, unknown := status.Server{State: status.StateRunning},
		status.Server{State: status.StateRefused}, status.Server{State: status.StateUnknown}
	for name, test := range map[string]struct {
		table status.Table
		want  error
	}{
		"all well": {status.Table{Servers: []status.Server{running}}, nil},
		"nobody":   {status.Table{}, saidError(ExitUnknown)},
		"unknown": {status.Table{Servers: []status.Server{running, unknown}},
			saidError(ExitUnknown)},
		"refused": {status.Table{Servers: []status.Server{unknown, refused}},
			saidError(ExitRefused)},
		"skew": {status.Table{Servers: []status.Server{unknown, refused}, Skew: "skew"},
			saidError(ExitSkew)},
	} {
		require.Equal(t, test.want, exitOf(&test.table), name)
	}
}
