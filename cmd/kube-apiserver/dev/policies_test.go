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

package dev

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/apis/apiserver/install"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
)

func TestPolicyFlags(t *testing.T) {
	source, dir := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{
		"labels.wasm": "one",
		"labels.yaml": "settings: {labels: {team: x}}\nfailurePolicy: Ignore\n",
		"plain.wasm":  "two", "other.yaml": "no: policy",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(source, name), []byte(content), 0o666))
	}
	flags, err := policyFlags(&options{policies: source}, dir)
	require.NoError(t, err)
	require.Equal(t, []string{
		"--feature-gates=WasmAdmission=true", "--admission-control-config-file=" + dir +
			"/admission.yaml",
	}, flags)

	// The test reads the configuration in the same way as the server.
	scheme := runtime.NewScheme()
	install.Install(scheme)
	provider, err := admission.ReadAdmissionConfiguration([]string{"WasmAdmission"},
		dir+"/admission.yaml", scheme)
	require.NoError(t, err)
	reader, err := provider.ConfigFor("WasmAdmission")
	require.NoError(t, err)
	data, err := io.ReadAll(reader)
	require.NoError(t, err)
	config, err := load.LoadFromData(data)
	require.NoError(t, err)
	require.Empty(t, validation.ValidateConfiguration(config))
	require.Len(t, config.Policies, 2)
	labels := config.Policies[0]
	require.Equal(t, "labels", labels.Name)
	require.EqualValues(t, "Ignore", labels.FailurePolicy)
	require.JSONEq(t, `{"labels": {"team": "x"}}`, string(labels.Settings.Raw))
	require.Equal(t, "file://"+dir+"/policies/labels.wasm", labels.Module)
	info, err := os.Stat(dir + "/policies/labels.wasm")
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077)
}

func TestPolicyFlagsOfADirectoryOfManifests(t *testing.T) {
	manifests, dir := t.TempDir(), t.TempDir()
	t.Chdir(filepath.Dir(manifests))
	_, err := policyFlags(&options{
		manifests:  filepath.Base(manifests),
		breakGlass: "break-glass.yaml",
	}, dir)
	require.NoError(t, err)
	admission, err := os.ReadFile(filepath.Join(dir, "admission.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(admission), "policyDirectory: "+manifests+"\n",
		"where it stands, not a copy")
	require.Contains(t, string(admission),
		"breakGlassFile: "+filepath.Join(filepath.Dir(manifests), "break-glass.yaml")+"\n")
}

func TestPolicyFlagsRefuse(t *testing.T) {
	_, err := policyFlags(&options{policies: t.TempDir()}, t.TempDir())
	require.ErrorContains(t, err, "policies: no file ")

	source := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(source, "a.wasm"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(source, "a.yaml"), []byte("setings: {}"), 0o600))
	_, err = policyFlags(&options{policies: source}, t.TempDir())
	require.ErrorContains(t, err, filepath.Join(source, "a.yaml"))
	require.ErrorContains(t, err, `unknown field "setings"`)
}
