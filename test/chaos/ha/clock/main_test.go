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

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrite(t *testing.T) {
	const before, after = "package time\n\nfunc Now() Time {\n", "}\n"
	for _, test := range []struct{ name, source, problem string }{
		{"once", before + reading + after, ""},
		{"never", before + after, "reads the clock in 0 places"},
		{"twice", before + reading + reading + after, "reads the clock in 2 places"},
	} {
		t.Run(test.name, func(t *testing.T) {
			goroot, directory := t.TempDir(), t.TempDir()
			source := filepath.Join(goroot, "src", "time", "time.go")
			require.NoError(t, os.MkdirAll(filepath.Dir(source), 0o700))
			require.NoError(t, os.WriteFile(source, []byte(test.source), 0o600))
			err := write(goroot, directory)
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				return
			}
			require.NoError(t, err)
			content, err := os.ReadFile(filepath.Join(directory, "overlay.json"))
			require.NoError(t, err)
			var overlay struct{ Replace map[string]string }
			require.NoError(t, json.Unmarshal(content, &overlay))
			shifted, err := os.ReadFile(overlay.Replace[source])
			require.NoError(t, err)
			require.Contains(t, string(shifted), reading+"\tsec += testClockOffset\n")
			require.Len(t, overlay.Replace, 2)
		})
	}
}
