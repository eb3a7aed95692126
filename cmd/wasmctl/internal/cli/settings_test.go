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

package cli_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

// Called kwctl, run reads settings as kwctl does.
func TestSettingsOfKwctl(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", cache)
	policy := filepath.Join(t.TempDir(), "policy.wasm")
	got := call(t, "annotate", "-m", file(t, "metadata.yml", "mutating: false\nrules: []\npolicyType: raw\n"), "-o", policy, guests+"answer.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	const accepted, isText = `"allowed":true`, `cannot unmarshal string`
	for name, test := range map[string]struct {
		flags          []string
		wasmctl, kwctl string
	}{
		"boolean of YAML 1.1": {[]string{"-s", file(t, "settings.yml", "accepted: yes\n")}, accepted, isText},
		"boolean":             {[]string{"-s", file(t, "settings.yml", "accepted: true\n")}, accepted, accepted},
		"two documents":       {[]string{"-s", file(t, "settings.yml", "accepted: true\n---\n")}, accepted, "there is more than one document"},
		"tag":                 {[]string{"-s", file(t, "settings.yml", "accepted: !x true\n")}, "", "the tag !x is not known"},
		"empty file":          {[]string{"-s", file(t, "settings.yml", "")}, "", "the document is empty"},
		"empty text":          {[]string{"--settings-json", ""}, "", "--settings-json: the settings are not an object"},
		"YAML as JSON":        {[]string{"--settings-json", "accepted: true"}, accepted, "--settings-json: the settings are not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			for command, want := range map[string]string{"wasmctl": test.wasmctl, "kwctl": test.kwctl} {
				var out, stderr bytes.Buffer
				arguments := append([]string{"run", "-r", bats + "raw.json", policy}, test.flags...)
				cli.Main(t.Context(), command, arguments, &terminal.Streams{In: strings.NewReader(""), Out: &out, Err: &stderr})
				require.Contains(t, out.String()+stderr.String(), want, command)
			}
		})
	}
}
