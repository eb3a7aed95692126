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
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"oras.land/oras-go/v2"
	orascontent "oras.land/oras-go/v2/content"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// synced is a server's machine, and a registry with a set of policies.
type synced struct {
	*user
	key                       *signing.Key
	uri, configuration, first string
	// directory is what the server reads, versions what it links to.
	directory, versions string
}

func newSynced(t *testing.T) *synced {
	t.Helper()
	s := &synced{user: newUser(t), key: signing.NewKey(t)}
	at := t.TempDir()
	require.NoError(t, os.Chmod(at, 0o755)) //nolint:gosec // a directory
	s.uri, s.directory = s.host+"/policies/set:prod", filepath.Join(at, "policies.d")
	s.versions, s.configuration = s.directory+".versions", filepath.Join(at, "config.yaml")
	s.configured("verification:\n  config: " + s.key.Config())
	s.first = s.push("first")
	return s
}

// configured writes the server's configuration.
func (s *synced) configured(more string) {
	s.t.Helper()
	text :=
		fmt.Sprintf(
			"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\npolicyDirectory: %s\nstateDirectory: %s\nsources: {insecure: [%q]}\n%s\n",
			s.directory, s.directory+".state", s.host, more)
	require.NoError(s.t, os.WriteFile(s.configuration, []byte(text), 0o600))
}

// push pushes a set of two policies, and returns its digest.
func (s *synced) push(title string) string {
	s.t.Helper()
	directory := s.t.TempDir()
	for _, name := range []string{"one", "two"} {
		require.NoError(s.t,
			os.WriteFile(filepath.Join(directory, name+".yaml"),
				[]byte(manifest(title+"-"+name, "registry://registry.example.com/"+name+":v1")),
				0o600))
	}
	return s.pushDirectory(directory)
}

func (s *synced) pushDirectory(directory string) string {
	s.t.Helper()
	var got map[string]string
	require.NoError(s.t,
		json.Unmarshal([]byte(s.does("push", "-o", "json", directory, s.uri)), &got))
	_, digest, found := strings.Cut(got["immutable_ref"], "@")
	require.True(s.t, found)
	return digest
}

func (s *synced) sign(digest string) {
	s.t.Helper()
	s.registry.PushReferrer(s.t, "policies/set", digest, registry.BundleMediaType,
		s.key.Bundle(s.t, digest, nil))
}

// sync attempts once.
func (s *synced) sync() string { return s.does("sync", "--once", s.configuration, s.uri) }

// requireRefused attempts once, and requires that the directory stays as it is.
func (s *synced) requireRefused(text string) {
	s.t.Helper()
	before, linked := s.enforced()
	s.refuses(cli.ExitProblem, text, "sync", "--once", s.configuration, s.uri)
	after, still := s.enforced()
	require.Equal(s.t, before, after)
	require.Equal(s.t, linked, still)
}

// enforced returns the name of the first policy, and the version; "" if there is none.
func (s *synced) enforced() (name, version string) {
	s.t.Helper()
	version, _ = os.Readlink(s.directory)
	text, _ := os.ReadFile(filepath.Join(s.directory, "one.yaml"))
	_, rest, _ := strings.Cut(string(text), "name: ")
	name, _, _ = strings.Cut(rest, "}")
	return name, version
}

func (s *synced) requireVersions(n int) {
	s.t.Helper()
	found, err := filepath.Glob(s.versions + "/[^.]*")
	require.NoError(s.t, err)
	require.Len(s.t, found, n)
}

// The directory follows the tag, to what is signed and to nothing else.
func TestSync(t *testing.T) {
	s := newSynced(t)
	s.requireRefused(s.first + " is not verified: ")
	require.NoFileExists(t, s.directory)
	s.sign(s.first)
	require.Contains(t, s.sync(), s.uri+" is in the policy directory: "+s.first+", manifests: 2\n")
	name, first := s.enforced()
	require.Equal(t, "first-one", name)
	require.Contains(t, s.sync(), s.uri+" is what the policy directory has already: "+s.first)
	_, still := s.enforced()
	require.Equal(t, first, still)
	require.False(t, filepath.IsAbs(first))
	for path, mode := range map[string]os.FileMode{
		s.versions:                0o755,
		s.directory + "/.":        0o755,
		s.directory + "/one.yaml": 0o644,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}

	second := s.push("second")
	s.requireRefused(second + " is not verified: ")
	s.sign(second)
	s.sync()
	name, _ = s.enforced()
	require.Equal(t, "second-one", name)
	s.requireVersions(2)
	s.sign(s.push("third"))
	s.sync()
	s.requireVersions(2)
	require.NoDirExists(t, filepath.Join(filepath.Dir(s.directory), first), "two versions ago")

	// A registry that is gone changes nothing.
	s.registry.Stop()
	s.requireRefused("connection refused")
}

// What somebody else does to the files is undone.
func TestSyncPutsBack(t *testing.T) {
	s := newSynced(t)
	s.sign(s.first)
	s.sync()
	for name, change := range map[string]func(){
		"changed": func() {
			require.NoError(t,
				os.WriteFile(filepath.Join(s.directory, "one.yaml"), []byte("apiVersion"), 0o600))
		},
		"removed": func() { require.NoError(t, os.Remove(filepath.Join(s.directory, "one.yaml"))) },
		"added": func() {
			require.NoError(t,
				os.WriteFile(filepath.Join(s.directory, "more.yaml"),
					[]byte(manifest("more", "registry://registry.example.com/more:v1")), 0o600))
		},
		"writable by others": func() {
			require.NoError(t, os.Chmod(filepath.Join(s.directory, "one.yaml"), 0o666))
		},
		"not readable by others": func() {
			require.NoError(t, os.Chmod(filepath.Join(s.directory, "one.yaml"), 0o600))
		},
		"in a directory that others cannot read": func() {
			require.NoError(t, os.Chmod(s.directory+"/.", 0o700)) //nolint:gosec // a directory
		},
		"a link to a copy": func() {
			at := filepath.Join(s.directory, "one.yaml")
			require.NoError(t, os.Rename(at, s.versions+"/copy"))
			require.NoError(t, os.Symlink(s.versions+"/copy", at))
		},
		"no link": func() { require.NoError(t, os.Remove(s.directory)) },
		"a link to nothing": func() {
			require.NoError(t, os.Remove(s.directory))
			require.NoError(t, os.Symlink("policies.d.versions/none", s.directory))
		},
		"half a change": func() {
			require.NoError(t, os.Remove(s.directory))
			require.NoError(t, os.Symlink("policies.d.versions/none", s.directory+".new"))
		},
	} {
		change()
		require.Contains(t, s.sync(), "is in the policy directory", name)
		enforced, _ := s.enforced()
		require.Equal(t, "first-one", enforced, name)
		require.NoFileExists(t, filepath.Join(s.directory, "more.yaml"))
	}
}

// A set is refused that the server would refuse, however it is signed.
func TestSyncRefusesWhatTheServerWould(t *testing.T) {
	s := newSynced(t)
	s.sign(s.first)
	s.sync()
	bad := func(text string) string {
		directory := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(directory, "bad.yaml"), []byte(text), 0o600))
		digest := s.pushDirectory(directory)
		s.sign(digest)
		return digest
	}
	bad("kind: [")
	s.requireRefused("/policies/set:prod: the server would refuse it: bad.yaml")
	bad(manifest("Upper", "registry://registry.example.com/one:v1"))
	s.requireRefused("the server would refuse it: ")
	bad("# nothing\n")
	s.configured("minimumPolicies: 1\nverification:\n  config: " + s.key.Config())
	s.requireRefused("the server would refuse it: minimumPolicies")
	s.requireVersions(1)

	// A signature of a policy is none of a set.
	digest := s.registry.Push(t, "policies/set", "prod", s.policy)
	s.sign(digest)
	s.requireRefused("it is no set of policies: ")

	// Nor is a set whose file is not what its manifest says.
	u := s.registry.Repository(t, "policies/set")
	layer := s.registry.PushBlob(t, "policies/set", "application/yaml", []byte("one"))
	layer.Annotations = map[string]string{"org.opencontainers.image.title": "one.yaml"}
	layer.Size++
	m := registry.Manifest(layer)
	m.ArtifactType = "application/vnd.wasm-admission.policies.v1"
	m.MediaType = "application/vnd.oci.image.manifest.v1+json"
	s.sign(s.registry.PushManifest(t, "policies/set", "prod", m))
	s.requireRefused("one.yaml: ")
	_, err := oras.Resolve(t.Context(), u, "prod", oras.DefaultResolveOptions)
	require.NoError(t, err)
}

// What fails on this machine is not blamed on the registry, and no other one is asked.
func TestSyncTellsWhatIsInTheWay(t *testing.T) {
	s := newSynced(t)
	s.sign(s.first)
	s.sync()
	s.sign(s.push("second"))
	require.NoError(t, os.MkdirAll(s.directory+".new/full", 0o700))
	s.requireRefused("Error: " + s.directory +
		".new is there and is no symbolic link: move it away\n")
	require.NoError(t, os.RemoveAll(s.directory+".new"))
	s.sync()
	s.requireVersions(2)
}

// Sets that oras pushes are sets: it gives layers another type, and their names.
func TestSyncWhatOrasPushes(t *testing.T) {
	s := newSynced(t)
	to := s.registry.Repository(t, "policies/set")
	text := []byte(manifest("orased-one", "registry://registry.example.com/one:v1"))
	layer := orascontent.NewDescriptorFromBytes("application/vnd.oci.image.layer.v1.tar", text)
	layer.Annotations = map[string]string{"org.opencontainers.image.title": "one.yaml"}
	require.NoError(t, to.Push(t.Context(), layer, strings.NewReader(string(text))))
	packed, err := oras.PackManifest(t.Context(), to, oras.PackManifestVersion1_1,
		"application/vnd.wasm-admission.policies.v1",
		oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
	require.NoError(t, err)
	require.NoError(t, to.Tag(t.Context(), packed, "prod"))
	s.sign(packed.Digest.String())
	s.sync()
	name, _ := s.enforced()
	require.Equal(t, "orased-one", name)
}

func TestSyncRefuses(t *testing.T) {
	s := newSynced(t)
	s.sign(s.first)
	s.refuses(cli.ExitUsage, "--interval: 1s: write a time from 10s to 24h0m0s", "sync",
		"--interval", "1s", s.configuration, s.uri)
	s.refuses(cli.ExitUsage, "URI is missing", "sync", s.configuration)

	// What demands nothing accepts nothing but what has a digest.
	for _, none := range []string{
		"", "verification: {required: false, config: " + s.key.Config() + "}",
	} {
		s.configured(none)
		s.requireRefused("whoever may push there would decide about admission")
	}
	byDigest := s.host + "/policies/set@" + s.first
	s.does("sync", "--once", s.configuration, byDigest)
	name, _ := s.enforced()
	require.Equal(t, "first-one", name)

	require.NoError(t, os.Remove(s.directory))
	require.NoError(t, os.Mkdir(s.directory, 0o755))
	s.configured("verification:\n  config: " + s.key.Config())
	s.refuses(cli.ExitProblem, s.directory+" is there and is no symbolic link: move it away",
		"sync", "--once", s.configuration, s.uri)

	require.NoError(t,
		os.WriteFile(s.configuration,
			[]byte(
				"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n"),
			0o600))
	s.refuses(cli.ExitProblem, "policyDirectory: Required value", "sync", "--once", s.configuration,
		byDigest)
	s.refuses(cli.ExitProblem, "no such file", "sync", "--once", s.configuration+".none", byDigest)
	s.refuses(cli.ExitProblem, "there is no manifest", "push", t.TempDir(), s.uri)
	s.refuses(cli.ExitProblem, "name a tag", "push", filepath.Dir(s.configuration), byDigest)
}

// What the DaemonSet runs is a command line, and needs no other directories than it mounts.
func TestSyncAsTheDaemonSet(t *testing.T) {
	text, err := os.ReadFile("../../../../deploy/sync/daemonset.yaml")
	require.NoError(t, err)
	var set appsv1.DaemonSet
	require.NoError(t, yaml.UnmarshalStrict(text, &set))
	pod := set.Spec.Template.Spec
	require.Equal(t, set.Spec.Selector.MatchLabels, set.Spec.Template.Labels)
	first, sync := pod.InitContainers[0], pod.Containers[0]
	require.Equal(t, first.VolumeMounts, sync.VolumeMounts)
	require.Equal(t, first.SecurityContext, sync.SecurityContext)
	require.Equal(t, first.Image, sync.Image)

	s := newSynced(t)
	at := t.TempDir()
	require.NoError(t, os.Chmod(at, 0o755)) //nolint:gosec // a directory
	onNode := strings.NewReplacer("/etc/kubernetes/wasm-admission", at, "registry.example.com",
		s.host)
	s.directory, s.configuration = filepath.Join(at, "synced", "policies.d"),
		filepath.Join(at, "config.yaml")
	require.Contains(t, string(text),
		"policyDirectory: /etc/kubernetes/wasm-admission/synced/policies.d")
	s.configured("verification:\n  config: " + s.key.Config())
	require.NoError(t, os.Mkdir(filepath.Dir(s.directory), 0o755))
	require.NoError(t, os.Chmod(at, 0o555)) //nolint:gosec // a directory; what is mounted for reading
	t.Cleanup(func() { require.NoError(t, os.Chmod(at, 0o700)) })
	s.sign(s.first)
	var arguments []string
	for _, argument := range first.Args {
		arguments = append(arguments, onNode.Replace(argument))
	}
	require.Equal(t, []string{"sync", "--once", s.configuration, "registry://" + s.uri}, arguments)
	s.does(arguments...)
	name, _ := s.enforced()
	require.Equal(t, "first-one", name)
	require.Equal(t, []string{"sync", "--interval=1m"}, sync.Args[:2])
	require.Equal(t, first.Args[2:], sync.Args[2:])
}
