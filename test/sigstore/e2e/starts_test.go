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

package e2e

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/sigstore/instance"
)

// testRoots starts servers with invalid trust roots, and with the trust root of another instance.
func (x *table) testRoots(t *testing.T, b subjects, foreign string) {
	good, err := os.ReadFile(x.instance.Path(instance.TrustedRoot))
	require.NoError(t, err)
	long := map[string]any{"start": "2001-01-01T00:00:00Z", "end": "2002-01-01T00:00:00Z"}
	over := func(lists ...string) []byte {
		content := good
		for _, list := range lists {
			for n := range x.at(good, list).([]any) { //nolint:forcetypeassert // cosign wrote it
				if list == "tlogs" {
					content = x.put(content, long, list, n, "publicKey", "validFor")
				} else {
					content = x.put(content, long, list, n, "validFor")
				}
			}
		}
		return content
	}
	without := func(lists ...string) []byte {
		content := good
		for _, list := range lists {
			content = x.put(content, nil, list)
		}
		return content
	}
	for _, root := range []struct {
		what, want string
		content    []byte
	}{
		{"without authorities", "has no certificate authority", without("certificateAuthorities")},
		{"without logs and timestamp authorities",
			"has neither a transparency log nor a timestamp authority",
			without("tlogs", "timestampAuthorities")},
		{"with expired authorities", "is expired: its last certificate authority",
			over("certificateAuthorities")},
		{"with expired logs and timestamp authorities",
			"is expired: its last log or timestamp authority",
			over("tlogs", "timestampAuthorities")},
		{"of a newer format", "has media type",
			x.put(good, "application/vnd.dev.sigstore.trustedroot+json;version=0.2", "mediaType")},
		{"with an unknown field", "cannot be read", x.put(good, "x", "unknown")},
		{"that is empty", "is empty", nil},
		{"that is no JSON", "is not JSON", []byte("root")},
		{"of another instance", "not verified: ", x.foreignRoot(t, foreign)},
		{"that is missing", "no such file", []byte("-")},
	} {
		t.Run(root.what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "root.json")
			if string(root.content) != "-" {
				require.NoError(t, os.WriteFile(path, root.content, 0o600))
			}
			lines := x.refused(t, x.configuration("", map[string]any{"verification": map[string]any{
				"required": true, "trustRoot": map[string]any{"file": path},
				"config": config([]map[string]any{b.emailBundle.demand}, nil, 0),
			}}, policy{name: "signed", module: x.deploy(b.emailBundle)}))
			require.Len(t, lines, 1)
			require.Contains(t, lines[0], root.want)
			x.started++
		})
	}
}

// foreignRoot returns the instance's trust root with the keys of another instance.
func (x *table) foreignRoot(t *testing.T, directory string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.json")
	require.NoError(t, x.instance.WriteTrustedRoot(t.Context(), directory, path))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return content
}

// testClientTrustConfig starts a server with the document that Kubewarden uses.
func (x *table) testClientTrustConfig(t *testing.T, b subjects) {
	x.serves(t,
		harness.Options{AdmissionConfig: x.configuration("",
			map[string]any{"verification": map[string]any{
				"required": true, "trustRoot": map[string]any{
					"file": x.instance.Path(instance.ClientTrustConfig),
				}, "config": config([]map[string]any{b.emailBundle.demand}, nil, 0),
			}}, policy{name: "signed", module: x.deploy(b.emailBundle)})})
}

// stored holds the paths of a policy's files in a server's state directory.
type stored struct {
	// tag and manifest are the index entries for the URI and for the manifest that it refers to.
	// evidence is the file with the verified signatures.
	tag, manifest, evidence string
}

// testStore checks that a server starts from its store when registries and files are gone, and that
// it refuses entries that were changed.
func (x *table) testStore(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	state := filepath.Join(t.TempDir(), "state")
	sources := map[string]any{"insecure": []string{r.Host}, "timeout": "2s"}
	names := []string{
		"untouched", "evidence-gone", "evidence-changed", "evidence-of-another", "evidence-foreign",
		"manifest-changed", "manifest-of-another",
		"index-gone", "index-to-another-module", "index-to-another-manifest", "module-changed",
	}
	var policies []policy
	for n, name := range names {
		// each policy has its own module
		wasm := append(x.wasm[:len(x.wasm):len(x.wasm)], 0, 2, 1, byte('a'+n))
		m := x.image(r, wasm, x.byEmail(email), false)
		policies = append(policies,
			policy{name: name, module: x.deployTo(r, m), demands: []map[string]any{m.demand}})
	}
	admission := x.configuration(state, map[string]any{"sources": sources}, policies...)
	require.NoError(t, x.serves(t, harness.Options{AdmissionConfig: admission}).Stop())
	r.Stop()
	require.NoError(t, x.serves(t, harness.Options{AdmissionConfig: admission}).Stop(),
		"the registry must not be needed")

	files := x.storedFiles(t, state, policies)
	x.tamperStore(t, state, files)
	lines := x.refused(t, admission)
	require.Empty(t, lineOf(lines, "untouched"))
	for _, name := range names[1:] {
		found := lineOf(lines, name)
		require.Len(t, found, 1, "%s: %s", name, strings.Join(lines, "\n"))
		t.Log(found[0])
	}
	x.started += len(names) - 1

	// With an empty store, the server cannot start.
	lines = x.refused(t,
		x.configuration(filepath.Join(t.TempDir(), "empty"), map[string]any{"sources": sources},
			policies[0]))
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "policies[untouched].module: ")
	x.started++
}

// storedFiles finds the policies' files in the store, by URI.
func (x *table) storedFiles(t *testing.T, state string, policies []policy) map[string]stored {
	t.Helper()
	byURI := map[string]string{}
	entries, err := filepath.Glob(filepath.Join(state, "modules", "index", "*"))
	require.NoError(t, err)
	for _, path := range entries {
		uri, _, _ := strings.Cut(x.at(readFile(t, path), "uri").(string), "@") //nolint:forcetypeassert // written by the store
		if strings.HasSuffix(uri, ":v1") {
			byURI[uri] = path
		} else {
			byURI[uri+"@"] = path
		}
	}
	files := map[string]stored{}
	for _, p := range policies {
		f := stored{tag: byURI[p.module], manifest: byURI[strings.TrimSuffix(p.module, ":v1")+"@"]}
		f.evidence = filepath.Join(state, "modules", "evidence", filepath.Base(f.manifest))
		require.FileExists(t, f.tag)
		require.FileExists(t, f.evidence)
		files[p.name] = f
	}
	return files
}

// decoded decodes a base64 value in a document.
func (s *suite) decoded(v any) []byte {
	content, err := base64.StdEncoding.DecodeString(v.(string)) //nolint:forcetypeassert // written by the store
	require.NoError(s, err)
	return content
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return content
}

// tamperStore changes the stored files of each policy except the first one. The policy's name says
// what changes.
func (x *table) tamperStore(t *testing.T, state string, files map[string]stored) {
	t.Helper()
	write := func(path string, content []byte) {
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
	change := func(name, field string, change func(any) any) {
		path := files[name].evidence
		write(path, x.edit(readFile(t, path), []step{field}, change))
	}
	digest := func(name string) string {
		return x.at(readFile(t, files[name].tag), "digest").(string) //nolint:forcetypeassert // written by the store
	}
	replace := func(path, old, replacement string) {
		write(path, []byte(strings.ReplaceAll(string(readFile(t, path)), old, replacement)))
	}
	require.NoError(t, os.Remove(files["evidence-gone"].evidence))
	change("evidence-changed", "evidence", func(v any) any {
		return x.edit(x.decoded(v), []step{"candidates", 0, "Bundle"}, func(v any) any {
			return x.edit(x.decoded(v), []step{"dsseEnvelope", "signatures", 0, "sig"}, bend)
		})
	})
	change("evidence-of-another", "evidence", func(any) any {
		return x.at(readFile(t, files["untouched"].evidence), "evidence")
	})
	foreign := x.image(x.plain, x.wasm, x.byEmail("boss@example.com"), false)
	change("evidence-foreign", "evidence", func(any) any {
		return []byte(x.json(map[string]any{
			"candidates": []any{map[string]any{"Bundle": foreign.bundle}},
		}))
	})
	change("manifest-changed", "manifest", bend)
	change("manifest-of-another", "manifest", func(any) any {
		return x.at(readFile(t, files["untouched"].evidence), "manifest")
	})
	require.NoError(t, os.Remove(files["index-gone"].tag))
	for _, path := range []string{
		files["index-to-another-module"].tag, files["index-to-another-module"].manifest,
	} {
		replace(path, digest("index-to-another-module"), digest("untouched"))
	}
	other := x.at(readFile(t, files["untouched"].tag), "manifest").(string) //nolint:forcetypeassert // written by the store
	own := x.at(readFile(t, files["index-to-another-manifest"].tag), "manifest").(string)
	for _, path := range []string{
		files["index-to-another-manifest"].tag, files["index-to-another-manifest"].manifest,
	} {
		replace(path, own, other)
	}
	module := filepath.Join(state, "modules", "sha256",
		strings.TrimPrefix(digest("module-changed"), "sha256:")+".wasm")
	write(module, append(readFile(t, module), 0, 2, 1, 'z'))
}

// testMovedTag moves a tag to another image after the first one was signed.
func (x *table) testMovedTag(t *testing.T, b subjects) {
	r := registry.Start(t, registry.Options{})
	admission := func(state string, p policy) string {
		p.name, p.module, p.demands = "moved", "registry://"+r.Host+"/moved:v1",
			[]map[string]any{b.keyLayer.demand}
		return x.configuration(state,
			map[string]any{"sources": map[string]any{"insecure": []string{r.Host}}}, p)
	}
	x.attach(r, "moved", r.Push(x, "moved", "v1", x.wasm), b.keyLayer)
	x.serves(t, harness.Options{AdmissionConfig: admission("", policy{})})
	r.Push(x, "moved", "v1", x.another())
	lines := x.refused(t, admission(filepath.Join(t.TempDir(), "state"), policy{}))
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "none was found at all")
	x.started++
}

// testMirror fetches modules and signatures from a mirror.
func (x *table) testMirror(t *testing.T, b subjects) {
	source, mirror := registry.Start(t, registry.Options{}),
		registry.Start(t, registry.Options{InMemory: true, Referrers: true})
	admission := func(name string) string {
		return x.configuration("", map[string]any{"sources": map[string]any{
			"insecure": []string{source.Host, mirror.Host},
			"mirrors": []any{
				map[string]any{
					"prefix":      "registry://" + source.Host + "/",
					"replacement": "registry://" + mirror.Host + "/copies/",
				},
			},
		}}, policy{
			name:    name,
			module:  "registry://" + source.Host + "/" + name + ":v1",
			demands: []map[string]any{b.workflowBundle.demand},
		})
	}
	unsigned := signed{wasm: x.wasm}
	foreign := x.image(x.plain, x.wasm, x.byWorkflow("evil/"+repository, workflow, ref), false)
	for name, at := range map[string]struct{ source, mirror signed }{
		"at-the-source": {b.workflowBundle, unsigned}, "foreign-at-the-mirror": {unsigned, foreign},
		"nowhere": {unsigned, unsigned},
	} {
		x.attach(source, name, source.Push(x, name, "v1", x.wasm), at.source)
		x.attach(mirror, "copies/"+name, mirror.Push(x, "copies/"+name, "v1", x.wasm), at.mirror)
	}
	x.attach(mirror, "copies/at-the-mirror", mirror.Push(x, "copies/at-the-mirror", "v1", x.wasm),
		b.workflowBundle)
	x.serves(t, harness.Options{AdmissionConfig: admission("at-the-mirror")})
	x.serves(t, harness.Options{AdmissionConfig: admission("at-the-source")})
	for _, name := range []string{"foreign-at-the-mirror", "nowhere"} {
		lines := x.refused(t, admission(name))
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], "not verified: ")
		x.started++
	}
}
