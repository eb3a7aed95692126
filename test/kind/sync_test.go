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

package kind

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// setName is the name of the set of policies in the registry.
const setName = "policies/set"

// synced follows "With a DaemonSet, from a registry" in docs/admins/several-nodes.md. When the tag
// moves, the policies of all nodes follow, unless the new set is not signed.
func (c *cluster) synced(t *testing.T, r *release) {
	must(t, "kind", "load", "image-archive", "--name", c.name, r.wasmctlArchive)
	key := signing.NewKey(t)
	from := registry.Start(t, registry.Options{Address: net.JoinHostPort(c.gateway(t), "0")})
	push := func(signed bool, policies ...policy) {
		digest := pushSet(t, from, policies...)
		if signed {
			from.PushReferrer(t, setName, digest, registry.BundleMediaType,
				key.Bundle(t, digest, nil))
		}
	}
	push(true, about("pod-privileged", "pod-privileged"))
	for _, node := range c.nodes {
		c.signModules(t, node, key)
		c.write(t, node, "wasm-admission/config.yaml", syncedConfiguration(t, r, from, key))
	}

	manifest, err := os.ReadFile(filepath.Join(r.manifests, "sync", "daemonset.yaml"))
	require.NoError(t, err)
	file := c.path("", "daemonset.yaml")
	text := strings.ReplaceAll(string(manifest), "registry.example.com", from.Host)
	require.Equal(t, 2, strings.Count(text, from.Host))
	require.NoError(t,
		os.WriteFile(file, []byte(strings.ReplaceAll(text, "--interval=1m", "--interval=10s")),
			0o600))
	c.kubectl(t, "apply", "--filename", file)
	c.kubectl(t, "--namespace", "kube-system", "rollout", "status", "daemonset/wasm-admission-sync",
		"--timeout", patience.String())

	h := c.startHammer(t)
	for _, node := range c.nodes {
		c.restartServer(t, node)
		c.requireEachRefuses(t, node)
	}
	eachServesTheSameSet(t, c)
	first, _ := c.hashes(t, c.nodes[0])

	push(true, about("pod-privileged", "pod-privileged"), about("no-latest", "no-latest-tag"))
	for _, node := range c.nodes {
		c.becomes(t, "synced", func() (bool, string) {
			running, desired := c.hashes(t, node)
			return running != first && running == desired, running
		})
	}
	eachServesTheSameSet(t, c)
	c.requireDenied(t, "no-latest",
		strings.ReplaceAll(pod("shop", "latest", false), "shell:v1", "shell:latest"))
	second, _ := c.hashes(t, c.nodes[0])

	push(false, about("watched", "deny"))
	c.becomes(t, "refused", func() (bool, string) {
		log, err := c.try(t, "--namespace", "kube-system", "logs", "--selector",
			"app.kubernetes.io/name=wasm-admission-sync", "--prefix")
		return err == nil && strings.Count(log, "is not verified") >= len(c.nodes), log
	})
	for _, node := range c.nodes {
		running, desired := c.hashes(t, node)
		require.Equal(t, []string{second, second}, []string{running, desired}, node)
	}
	h.requireRefused(t)
	// Delete the DaemonSet, because sync exits after ten failures, and its Pods would no longer
	// run.
	c.kubectl(t, "delete", "--filename", file)
	c.requireEachRefuses(t, c.nodes...)
}

// syncedConfiguration returns the shipped configuration, with a synced directory and required
// signatures.
func syncedConfiguration(t *testing.T, r *release, from *registry.Registry,
	key *signing.Key) string {
	t.Helper()
	shipped := r.read(t, "wasm-admission", "config.yaml")
	const directory = "policyDirectory: " + configurationOnNode + "/"
	require.Contains(t, shipped, directory+"policies.d\n")
	shipped = strings.Replace(shipped, directory+"policies.d\n", directory+"synced/policies.d\n", 1)
	return shipped + fmt.Sprintf("sources: {insecure: [%q]}\nverification: {config: %s}\n",
		from.Host, key.Config())
}

// signModules writes a bundle next to each module of a node.
func (c *cluster) signModules(t *testing.T, node string, key *signing.Key) {
	t.Helper()
	for name := range modules {
		file := "wasm-admission/modules/" + name + ".wasm"
		content, err := os.ReadFile(c.path(node, file))
		require.NoError(t, err)
		c.write(t, node, file+".sigstore.json", string(key.FileBundle(t, content)))
	}
}

// pushSet pushes a set of policies to the DaemonSet's tag, and returns its digest.
func pushSet(t *testing.T, to *registry.Registry, policies ...policy) string {
	t.Helper()
	var layers []ocispec.Descriptor
	for _, p := range policies {
		layer := to.PushBlob(t, setName, "application/yaml", []byte(p.String()))
		layer.Annotations = map[string]string{ocispec.AnnotationTitle: p.name + ".yaml"}
		layers = append(layers, layer)
	}
	manifest := registry.Manifest(layers...)
	manifest.MediaType, manifest.ArtifactType = ocispec.MediaTypeImageManifest,
		"application/vnd.wasm-admission.policies.v1"
	manifest.Config = to.PushBlob(t, setName, ocispec.MediaTypeEmptyJSON, []byte("{}"))
	return to.PushManifest(t, setName, "prod", manifest)
}
