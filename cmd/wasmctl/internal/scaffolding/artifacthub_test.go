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

package scaffolding_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/scaffolding"
)

func hubPackage() *scaffolding.Package {
	m := metadata()
	m.Annotations = map[string]string{
		"io.kubewarden.policy.title":       "verify-image-signatures",
		"io.kubewarden.policy.version":     "0.2.1",
		"io.kubewarden.policy.description": "A description",
		"io.kubewarden.policy.author":      "Tux Tuxedo <tux@example.com>, Pidgin <pidgin@example.com>",
		"io.kubewarden.policy.url":         "https://github.com/home",
		"io.kubewarden.policy.ociUrl":      "ghcr.io/ocirepo/policy",
		"io.kubewarden.policy.source":      "https://github.com/repo",
		"io.kubewarden.policy.license":     "Apache-2.0",
		"io.artifacthub.resources":         "Pod, Deployment",
		"io.artifacthub.displayName":       "Verify Image Signatures",
		"io.artifacthub.keywords":          "pod, signature", "io.kubewarden.hidden-ui": "true",
	}
	return &scaffolding.Package{
		Metadata:  m,
		Questions: []byte("questions contents"),
		CreatedAt: time.Unix(0, 0),
		Command:   "kwctl",
	}
}

// The expected text is that of Kubewarden's own test, plus additions of newer versions.
func TestArtifactHub(t *testing.T) {
	text, err := hubPackage().Describe()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "# Kubewarden Artifacthub Package config\n"))
	require.Contains(t, string(text),
		"#   kwctl scaffold artifacthub > artifacthub-pkg.yml\nversion: 0.2.1\nname: verify-image-signatures\ndisplayName: ")
	var got map[string]any
	require.NoError(t, yaml.Unmarshal(text, &got))
	require.Contains(t, got["install"], "kwctl pull ghcr.io/ocirepo/policy:v0.2.1\n")
	delete(got, "install")
	object, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"version": "0.2.1", "name": "verify-image-signatures", "displayName": "Verify Image Signatures", "createdAt": "1970-01-01T00:00:00Z",
		"description": "A description", "license": "Apache-2.0", "homeURL": "https://github.com/home",
		"containersImages": [{"name": "policy", "image": "ghcr.io/ocirepo/policy:v0.2.1"}],
		"keywords": ["pod", "signature"],
		"links": [{"name": "policy", "url": "https://github.com/repo/releases/download/v0.2.1/policy.wasm"}, {"name": "source", "url": "https://github.com/repo"}],
		"maintainers": [{"name": "Tux Tuxedo", "email": "tux@example.com"}, {"name": "Pidgin", "email": "pidgin@example.com"}],
		"provider": {"name": "kubewarden"},
		"recommendations": [{"url": "https://artifacthub.io/packages/helm/kubewarden/kubewarden-controller"}],
		"annotations": {
			"kubewarden/resources": "Pod, Deployment", "kubewarden/mutation": "false", "kubewarden/hidden-ui": "true", "kubewarden/questions-ui": "questions contents",
			"kubewarden/contextAwareResources": "- apiVersion: v1\n  kind: Namespace\n",
			"kubewarden/rules": "- apiGroups:\n    - \"\"\n  apiVersions:\n    - v1\n  resources:\n    - pods\n  operations:\n    - CREATE\n"
		}
	}`, string(object))
}

func TestArtifactHubRefuses(t *testing.T) {
	for name, test := range map[string]struct{ annotation, value, err string }{
		"no title": {"io.kubewarden.policy.title", "",
			`policy metadata must specify "io.kubewarden.policy.title" in annotations`},
		"no display name": {"io.artifacthub.displayName", "", "io.artifacthub.displayName"},
		"no description": {"io.kubewarden.policy.description", "",
			"io.kubewarden.policy.description"},
		"no image":   {"io.kubewarden.policy.ociUrl", "", "io.kubewarden.policy.ociUrl"},
		"no version": {"io.kubewarden.policy.version", "", "io.kubewarden.policy.version"},
		"version": {"io.kubewarden.policy.version", "not-semver",
			"policy version must be in semver"},
		"image": {"io.kubewarden.policy.ociUrl", "https://github.com/x",
			"io.kubewarden.policy.ociUrl"},
		"keywords": {"io.artifacthub.keywords", "foo,,bar", "must be csv values"},
		"author": {"io.kubewarden.policy.author",
			"Foo foo@example.com, Bar <bar@example.com>", `must be csv values of "name <email>"`},
		"author's email": {"io.kubewarden.policy.author", "Bar <#$%#$%>",
			`must be csv values of "name <email>"`},
		"URL":    {"io.kubewarden.policy.url", "@&*foo", "is not a URL"},
		"source": {"io.kubewarden.policy.source", "@&*foo", "is not a URL"},
		"hidden": {"io.kubewarden.hidden-ui", "perhaps", "is neither true nor false"},
	} {
		t.Run(name, func(t *testing.T) {
			p := hubPackage()
			p.Metadata.Annotations[test.annotation] = test.value
			_, err := p.Describe()
			require.ErrorContains(t, err, test.err)
		})
	}
	p := hubPackage()
	p.Questions = []byte("\n")
	_, err := p.Describe()
	require.EqualError(t, err, "questions-ui content cannot be empty")
	p.Metadata.Annotations = nil
	_, err = p.Describe()
	require.EqualError(t, err,
		"no annotations in policy metadata. policy metadata must specify annotations")
}

// Releases on hosts other than GitHub are unknown, so the metadata's version counts.
func TestArtifactHubVersions(t *testing.T) {
	p := hubPackage()
	p.Metadata.Annotations["io.kubewarden.policy.source"] = "https://example.com/repo"
	p.Version = "9.9.9"
	text, err := p.Describe()
	require.NoError(t, err)
	require.Contains(t, string(text), "version: 0.2.1\n")
	require.NotContains(t, string(text), "releases/download")
	delete(p.Metadata.Annotations, "io.kubewarden.policy.version")
	text, err = p.Describe()
	require.NoError(t, err)
	require.Contains(t, string(text), "version: 9.9.9\n")
}
