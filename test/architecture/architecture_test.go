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

// Package architecture checks the rules for the whole repository: which package may import which,
// which modules a program links with the plugin, and that the documents match the code.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "github.com/wasm-admission/wasm-admission/"

// mayImport lists, for every package of the library, the other packages of the library that it may
// import directly. Every package must have an entry, so add new packages here.
var mayImport = map[string][]string{
	"featuregate": {},

	"plugin/pkg/admission/wasm": {
		"featuregate", "pkg/abi", "pkg/assembly", "pkg/assembly/serving", "pkg/dispatch",
		"pkg/policyset",
	},

	"pkg/assembly/serving": {
		"pkg/abi", "pkg/assembly", "pkg/breakglass", "pkg/dispatch", "pkg/engine", "pkg/metrics",
		"pkg/policyset", "pkg/policyset/reload", "pkg/status", "pkg/unmatched",
		"internal/buildinfo", "pkg/apis/wasmadmission", "pkg/apis/wasmadmission/validation",
		"pkg/capabilities/kubernetes", "pkg/capabilities/net", "internal/explain",
		"pkg/verification",
	},
	"pkg/assembly": {
		"pkg/abi", "pkg/engine", "pkg/module", "pkg/policyset", "pkg/policyset/reload",
		"internal/safefile", "pkg/verification", "pkg/verification/modules",
		"pkg/apis/wasmadmission", "pkg/apis/wasmadmission/load",
		"pkg/apis/wasmadmission/validation",
		"pkg/capabilities", "pkg/capabilities/crypto", "pkg/capabilities/net",
		"pkg/capabilities/oci", "pkg/capabilities/oci/images", "pkg/verification",
	},

	"pkg/webhook": {"internal/jsonparts", "internal/jsonpatch", "internal/jsonscan",
		"pkg/dispatch"},
	"pkg/webhook/registration": {"pkg/apis/wasmadmission", "pkg/dispatch", "pkg/policyset",
		"pkg/webhook"},

	"pkg/dispatch": {"pkg/policyset", "pkg/spans", "pkg/abi", "pkg/engine",
		"internal/apijson", "internal/jsonparts", "internal/jsonpatch", "pkg/loopback",
		"pkg/verdict", "pkg/apis/wasmadmission"},
	"pkg/loopback":       {"pkg/status"},
	"pkg/status":         {},
	"pkg/spans":          {},
	"internal/apijson":   {"internal/jsonscan"},
	"internal/jsonpatch": {},
	"pkg/verification":   {"internal/explain", "internal/moduleuri", "internal/strictyaml"},

	"pkg/verification/discovery": {"internal/jsonparts", "internal/moduleuri", "pkg/verification"},
	"pkg/verification/modules":   {"pkg/module", "pkg/verification", "pkg/verification/discovery"},
	"pkg/sigstore": {"internal/safefile", "pkg/apis/wasmadmission",
		"pkg/verification"},

	"pkg/verdict": {"pkg/abi", "pkg/engine", "internal/jsonpatch"},

	"pkg/unmatched": {"pkg/policyset", "pkg/apis/wasmadmission"},
	"pkg/policyset/reload": {
		"pkg/policyset", "pkg/policyset/internal/stray", "pkg/engine", "pkg/module",
		"pkg/verification/modules", "internal/filewatch", "internal/moduleuri", "internal/safefile",
		"internal/explain",
		"pkg/apis/kubewarden", "pkg/apis/wasmadmission", "pkg/apis/wasmadmission/validation",
	},
	"pkg/policyset": {
		"pkg/module", "pkg/abi", "pkg/abi/wapc", "pkg/abi/wasi", "pkg/engine", "pkg/capabilities",
		"pkg/capabilities/tracing", "pkg/verification/modules",
		"pkg/policyset/internal/breaker", "pkg/policyset/internal/stray", "pkg/spans",
		"pkg/verdict", "internal/jsonscan",
		"pkg/apis/wasmadmission", "pkg/apis/wasmadmission/groupexpression",
		"pkg/apis/wasmadmission/validation",
	},
	"pkg/policyset/internal/stray":   {},
	"pkg/policyset/internal/breaker": {},
	"pkg/breakglass": {"pkg/apis/wasmadmission", "pkg/apis/wasmadmission/load",
		"pkg/apis/wasmadmission/validation", "pkg/engine", "internal/explain", "internal/filewatch",
		"internal/safefile"},
	"internal/jsonscan":  {},
	"internal/jsonparts": {},
	"internal/moduleuri": {},
	"pkg/module": {"pkg/engine", "pkg/layout", "internal/jsonparts",
		"internal/moduleuri", "internal/safefile"},
	"pkg/layout": {"internal/jsonparts", "internal/moduleuri",
		"internal/safefile"},
	"internal/safefile":        {},
	"internal/strictyaml":      {},
	"internal/buildinfo":       {},
	"pkg/abi":                  {"internal/wasm"},
	"pkg/abi/internal/guestio": {"pkg/abi", "pkg/engine"},
	"pkg/abi/wapc":             {"pkg/abi", "pkg/abi/internal/guestio", "pkg/engine"},
	"pkg/abi/wasi":             {"pkg/abi", "pkg/abi/internal/guestio", "pkg/engine"},
	"pkg/abi/rego": {"pkg/abi", "pkg/abi/internal/guestio", "pkg/engine",
		"internal/jsonparts"},
	"pkg/abi/rego/topdown":            {"pkg/abi", "pkg/abi/rego", "pkg/engine"},
	"pkg/capabilities":                {"pkg/abi", "pkg/spans"},
	"pkg/capabilities/internal/cache": {"pkg/spans"},
	"pkg/capabilities/crypto":         {"pkg/capabilities"},
	"pkg/capabilities/net": {"pkg/abi", "pkg/capabilities",
		"pkg/capabilities/internal/cache"},
	"pkg/capabilities/oci": {"pkg/capabilities"},
	"pkg/capabilities/oci/images": {"internal/jsonparts", "internal/moduleuri", "pkg/abi",
		"pkg/capabilities", "pkg/capabilities/oci", "pkg/module", "pkg/spans", "pkg/verification",
		"pkg/verification/discovery"},
	"pkg/capabilities/tracing": {"pkg/abi", "pkg/capabilities"},
	"pkg/capabilities/kubernetes": {
		"pkg/abi", "pkg/capabilities", "pkg/capabilities/internal/cache",
	},
	"pkg/metrics":        {},
	"internal/filewatch": {},

	"internal/explain":                {},
	"pkg/apis/wasmadmission":          {},
	"pkg/apis/wasmadmission/v1alpha1": {"pkg/apis/wasmadmission"},
	"pkg/apis/wasmadmission/install": {"pkg/apis/wasmadmission",
		"pkg/apis/wasmadmission/v1alpha1"},
	"pkg/apis/wasmadmission/fuzzer": {"pkg/apis/wasmadmission",
		"pkg/apis/wasmadmission/v1alpha1"},
	"pkg/apis/wasmadmission/load": {
		"internal/explain", "pkg/apis/wasmadmission", "pkg/apis/wasmadmission/v1alpha1",
		"pkg/apis/wasmadmission/install", "internal/strictyaml",
	},
	"pkg/apis/wasmadmission/validation": {"internal/moduleuri", "pkg/apis/wasmadmission",
		"pkg/apis/wasmadmission/groupexpression", "pkg/capabilities", "pkg/verification"},

	"pkg/apis/kubewarden": {
		"internal/explain", "pkg/apis/wasmadmission", "pkg/apis/wasmadmission/validation",
		"internal/safefile", "internal/strictyaml",
	},
	"pkg/apis/wasmadmission/groupexpression": {},

	"pkg/engine/enginetest": {"pkg/engine/internal/memory", "pkg/engine/internal/rewrite"},
	"pkg/engine": {"pkg/engine/internal/codecache", "pkg/engine/internal/memory",
		"pkg/engine/internal/pool", "internal/safefile", "pkg/engine/internal/rewrite",
		"internal/wasm", "pkg/engine/weight", "pkg/engine/internal/worker"},
	"pkg/engine/internal/codecache": {"internal/safefile"},
	"pkg/engine/internal/memory":    {},
	"pkg/engine/internal/pool":      {},
	"pkg/engine/internal/rewrite":   {"internal/wasm", "pkg/engine/weight"},
	"internal/wasm":                 {},
	"pkg/engine/internal/worker":    {},
	"pkg/engine/weight":             {"internal/wasm"},
}

// goPackage is the part of the output of `go list -json` that the tests use.
type goPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Module     *struct{ Path string }
}

func list(t *testing.T, arguments ...string) []goPackage {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go",
		append([]string{"list", "-json=ImportPath,Standard,Imports,Module"}, arguments...)...)
	command.Dir = filepath.Join("..", "..")
	command.Stderr = os.Stderr
	output, err := command.Output()
	require.NoError(t, err)
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

func TestImportsFollowTheRules(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t, "./featuregate/...", "./internal/...", "./pkg/...", "./plugin/...") {
		name := strings.TrimPrefix(p.ImportPath, root)
		seen[name] = true
		allowed, known := mayImport[name]
		require.True(t, known, "package %s has no entry in mayImport: say what it may import", name)
		for _, imported := range p.Imports {
			if own, ok := strings.CutPrefix(imported, root); ok {
				require.Contains(t, allowed, own, "package %s imports %s", name, own)
			}
		}
	}
	for name := range mayImport {
		require.True(t, seen[name], "mayImport names package %s, which does not exist", name)
	}
}

func TestTheEngineDoesNotDependOnKubernetes(t *testing.T) {
	allowed := []string{
		strings.TrimSuffix(root, "/"),
		"github.com/tetratelabs/wazero",
		"golang.org/x/sys",
	}
	for _, p := range list(t, "-deps", "./pkg/engine/...") {
		if !p.Standard {
			require.Contains(t, allowed, p.Module.Path, "the engine depends on package %s",
				p.ImportPath)
		}
	}
	for _, p := range list(t, "-deps", "./pkg/engine/...") {
		if own, ok := strings.CutPrefix(p.ImportPath, root); ok {
			require.True(t, strings.HasPrefix(own, "pkg/engine") || own == "internal/wasm" ||
				own == "internal/safefile", "the engine depends on package %s", own)
		}
	}
}

func TestOnlyTheServerDependsOnKubernetes(t *testing.T) {
	for _, p := range list(t, "-deps", "-test", "./...") {
		require.False(t, p.ImportPath == "k8s.io/kubernetes" ||
			strings.HasPrefix(p.ImportPath, "k8s.io/kubernetes/"),
			"the library or its tests depend on %s", p.ImportPath)
	}
}

// wasmctl must not link packages that only servers need.
func TestTheCommandLineLinksNoServer(t *testing.T) {
	for _, p := range list(t, "-deps", "./cmd/wasmctl") {
		require.NotContains(t,
			[]string{root + "pkg/assembly/serving", "k8s.io/apiserver/pkg/server"}, p.ImportPath)
	}
}

// The webhook server serves HTTP with the standard library, and must not link the apiserver
// library.
func TestTheWebhookServerLinksNoApiserver(t *testing.T) {
	for _, p := range list(t, "-deps", "./cmd/wasm-admission-webhook") {
		require.NotEqual(t, "k8s.io/apiserver/pkg/server", p.ImportPath)
		require.False(t, strings.HasPrefix(p.ImportPath, "go.etcd.io/") ||
			strings.HasPrefix(p.ImportPath, root+"plugin/"), p.ImportPath)
	}
}

// Only one package may import the Open Policy Agent, which is large. Programs that need it link
// that package.
func TestOnlyOnePackageImportsOPA(t *testing.T) {
	const opa = "github.com/open-policy-agent/opa/"
	for _, p := range list(t, "./featuregate/...", "./internal/...", "./pkg/...", "./plugin/...") {
		if slices.ContainsFunc(p.Imports, func(i string) bool {
			return strings.HasPrefix(i, opa)
		}) {
			require.Equal(t, root+"pkg/abi/rego/topdown", p.ImportPath)
		}
	}
}

// Only one package may import Sigstore's libraries, except for test code. The plugin and the
// assembly must not link them.
func TestOnlyOnePackageImportsSigstore(t *testing.T) {
	for _, p := range list(t, "./featuregate/...", "./internal/...", "./pkg/...", "./plugin/...") {
		if slices.ContainsFunc(p.Imports, func(i string) bool {
			return strings.HasPrefix(i, "github.com/sigstore/") ||
				strings.HasPrefix(i, "github.com/theupdateframework/")
		}) {
			require.Equal(t, root+"pkg/sigstore", p.ImportPath)
		}
	}
	for _, p := range list(t, "-deps", "./plugin/...", "./pkg/assembly/...") {
		require.False(t, p.ImportPath == root+"pkg/sigstore" ||
			strings.HasPrefix(p.ImportPath, "github.com/sigstore/"),
			"the plugin or the assembly depends on %s", p.ImportPath)
	}
}

// Every embedder must vet the modules that the plugin links, so a new one needs a decision. If you
// decide for it, add it to the file.
func TestThePluginLinksNoNewModules(t *testing.T) {
	var modules []string
	for _, p := range list(t, "-deps", "./plugin/...") {
		if p.Module != nil && !slices.Contains(modules, p.Module.Path) {
			modules = append(modules, p.Module.Path)
		}
	}
	slices.Sort(modules)
	allowed, err := os.ReadFile(filepath.Join("testdata", "plugin-modules.txt"))
	require.NoError(t, err)
	require.Equal(t, strings.Fields(string(allowed)), modules)
}
