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
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

func configuration(t *testing.T,
	policies ...wasmadmission.Policy) *wasmadmission.WasmAdmissionConfiguration {
	t.Helper()
	config, err := Decode(nil)
	require.NoError(t, err)
	for n := range policies {
		policies[n].Settings = runtime.RawExtension{Raw: []byte("{}")}
	}
	config.Policies = policies
	return config
}

// inProcess compiles in this process, because the test's binary cannot compile as a child.
func inProcess(options *engine.Options) {
	options.Compilation, options.CacheDirectory = engine.InProcess, ""
}

func TestLoadFromRegistry(t *testing.T) {
	accept, err := os.ReadFile(filepath.Join("..", "..", "test", "wat", "accept.wasm"))
	require.NoError(t, err)
	digest := engine.Digest(accept)
	r := registry.Start(t, registry.Options{TLS: true})
	manifest := r.Push(t, "policies/accept", "v1", accept)
	uri := "registry://" + r.Host + "/policies/accept"
	path := filepath.Join(t.TempDir(), "accept.wasm")
	require.NoError(t, os.WriteFile(path, accept, 0o600))

	config := configuration(t,
		wasmadmission.Policy{Name: "tag", Module: uri + ":v1"},
		wasmadmission.Policy{Name: "pinned", Module: uri + "@" + manifest},
		wasmadmission.Policy{
			Name:   "mirrored",
			Module: "registry://registry.example.com/accept:v1",
			Digest: digest,
		},
		wasmadmission.Policy{Name: "file", Module: "file://" + path},
	)
	config.StateDirectory = filepath.Join(t.TempDir(), "state")
	config.Sources = wasmadmission.Sources{
		Authorities: []wasmadmission.SourceAuthority{{Host: r.Host, Files: []string{r.CA}}},
		Mirrors: []wasmadmission.Mirror{{
			Prefix: "registry://registry.example.com/", Replacement: "registry://" + r.Host +
				"/policies/",
		}},
		Timeout: metav1.Duration{Duration: time.Minute},
	}
	start := func() *Assembly {
		a, err := New(t.Context(), config, Options{AdjustEngine: inProcess})
		require.NoError(t, err)
		return a
	}
	a := start()

	broken := config.DeepCopy()
	broken.Policies[0].Module = uri + ":v2"
	broken.Policies[1].Digest = "sha256:" + strings.Repeat("0", 64)
	set, errs := a.Loader.Load(t.Context(), broken)
	require.Nil(t, set)
	require.Len(t, errs, 2)
	require.Equal(t, "policies[tag].module", errs[0].Field)
	require.ErrorContains(t, errs[0], "not found")
	require.Equal(t, "policies[pinned].digest", errs[1].Field)
	require.ErrorContains(t, errs[1], "has digest "+digest+": put that here")

	for range 2 {
		set, errs := a.Loader.Load(t.Context(), config)
		require.Empty(t, errs)
		for _, p := range set.Policies() {
			require.Equal(t, digest, p.Digest())
		}
		set.Close()
		require.NoError(t, a.store.Collect([]string{digest}))
		r.Stop() // a restart works while the registry is down
		require.NoError(t, a.Close())
		a = start()
	}
	require.NoError(t, a.Close())

	config.Sources.DockerConfig = filepath.Join(t.TempDir(), "none.json")
	_, err = New(t.Context(), config, Options{AdjustEngine: inProcess})
	require.ErrorContains(t, err, "sources.dockerConfig: ")
}

func TestStartsWithoutUsableStateDirectory(t *testing.T) {
	config := configuration(t)
	config.StateDirectory = filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.WriteFile(config.StateDirectory, nil, 0o600))
	fetcher, store, err := newFetcher(t.Context(), config, nil)
	require.NoError(t, err)
	require.NotNil(t, fetcher)
	require.Nil(t, store)
}

// A command that only looks at a configuration removes no modules that others need.
func TestKeepModules(t *testing.T) {
	config := configuration(t)
	config.StateDirectory = filepath.Join(t.TempDir(), "state")
	for _, keep := range []bool{false, true} {
		a, err := New(t.Context(), config, Options{AdjustEngine: inProcess, KeepModules: keep})
		require.NoError(t, err)
		require.Equal(t, keep, a.store == nil, "the store from which the manager removes modules")
		require.NoError(t, a.Close())
	}
}
