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

package scaffolding

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	versions "k8s.io/apimachinery/pkg/util/version"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// The metadata annotations that describe a policy.
const (
	annotationTitle       = "io.kubewarden.policy.title"
	annotationVersion     = "io.kubewarden.policy.version"
	annotationDescription = "io.kubewarden.policy.description"
	annotationAuthor      = "io.kubewarden.policy.author"
	annotationURL         = "io.kubewarden.policy.url"
	annotationOCIURL      = "io.kubewarden.policy.ociUrl"
	annotationSource      = "io.kubewarden.policy.source"
	annotationLicense     = "io.kubewarden.policy.license"
	annotationSeverity    = "io.kubewarden.policy.severity"
	annotationCategory    = "io.kubewarden.policy.category"
	annotationResources   = "io.artifacthub.resources"
	annotationDisplayName = "io.artifacthub.displayName"
	annotationKeywords    = "io.artifacthub.keywords"
	annotationHiddenUI    = "io.kubewarden.hidden-ui"
)

// artifactHubHead is the beginning of a description.
const artifactHubHead = `# Kubewarden Artifacthub Package config
#
# Use this config to submit the policy to https://artifacthub.io.
#
# This config can be saved to its default location with:
#   %s scaffold artifacthub > artifacthub-pkg.yml
`

// install is the installation instruction for an image.
const install = "The policy can be obtained using [kwctl](https://docs.kubewarden.io/howtos/install-kwctl):\n" +
	"```console\nkwctl pull %[1]s\n```\n" +
	"Then, generate the policy manifest and tune it to your liking. For example:\n" +
	"```console\nkwctl scaffold manifest -t ClusterAdmissionPolicy registry://%[1]s\n```\n"

// artifactHub is an artifacthub-pkg.yml as Artifact Hub requires it for Kubewarden policies:
// https://artifacthub.io/docs/topics/repositories/kubewarden-policies. The fields have kwctl's
// order.
type artifactHub struct {
	Version         string            `yaml:"version"`
	Name            string            `yaml:"name"`
	DisplayName     string            `yaml:"displayName"`
	CreatedAt       string            `yaml:"createdAt"`
	Description     string            `yaml:"description"`
	License         string            `yaml:"license,omitempty"`
	HomeURL         string            `yaml:"homeURL,omitempty"`
	Images          []image           `yaml:"containersImages,omitempty"`
	Keywords        []string          `yaml:"keywords,omitempty"`
	Links           []link            `yaml:"links,omitempty"`
	Install         string            `yaml:"install,omitempty"`
	Maintainers     []maintainer      `yaml:"maintainers,omitempty"`
	Provider        provider          `yaml:"provider"`
	Recommendations []recommendation  `yaml:"recommendations"`
	Annotations     map[string]string `yaml:"annotations"`
}

type (
	image struct {
		Name  string `yaml:"name"`
		Image string `yaml:"image"`
	}
	link struct {
		Name string `yaml:"name"`
		URL  string `yaml:"url"`
	}
	maintainer struct {
		Name  string `yaml:"name"`
		Email string `yaml:"email"`
	}
	provider struct {
		Name string `yaml:"name"`
	}
	recommendation struct {
		URL string `yaml:"url"`
	}
	// hubRule and hubResource have kwctl's order of fields.
	hubRule struct {
		APIGroups   []string `yaml:"apiGroups"`
		APIVersions []string `yaml:"apiVersions"`
		Resources   []string `yaml:"resources"`
		Operations  []string `yaml:"operations"`
	}
	hubResource struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
	}
)

// Package is the input of a description for Artifact Hub.
type Package struct {
	// Metadata is the policy's metadata.
	Metadata *abi.Metadata
	// Version is used if the metadata has no version.
	Version string
	// Questions are the questions for a user interface, in YAML. Nil means none.
	Questions []byte
	// CreatedAt is the creation time of the description.
	CreatedAt time.Time
	// Command is the name of the command that creates it.
	Command string
}

// Describe returns the artifacthub-pkg.yml. Its error has a line for each problem.
func (p *Package) Describe() ([]byte, error) {
	b := &hubBuilder{annotations: p.Metadata.Annotations}
	if len(b.annotations) == 0 {
		return nil, errors.New(
			"no annotations in policy metadata. policy metadata must specify annotations")
	}
	if p.Questions != nil && len(bytes.TrimSpace(p.Questions)) == 0 {
		return nil, errors.New("questions-ui content cannot be empty")
	}
	version := b.version(p.Version)
	oci := b.image(version)
	hub := artifactHub{
		Version: version, Name: b.required(annotationTitle),
		DisplayName: b.required(annotationDisplayName),
		CreatedAt:   p.CreatedAt.UTC().Format(time.RFC3339Nano),
		Description: b.required(annotationDescription),
		License:     b.annotations[annotationLicense], HomeURL: b.url(annotationURL),
		Images: []image{{"policy", oci}}, Keywords: b.keywords(), Links: b.links(version),
		Install:     fmt.Sprintf(install, oci),
		Maintainers: b.maintainers(), Provider: provider{"kubewarden"},
		Recommendations: []recommendation{{"https://artifacthub.io/packages/helm/kubewarden/kubewarden-controller"}},
		Annotations:     b.hubAnnotations(p),
	}
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	text, err := encode(hub)
	return append(fmt.Appendf(nil, artifactHubHead, p.Command), text...), err
}

// encode writes YAML with an indent of two blanks.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	err := errors.Join(encoder.Encode(value), encoder.Close())
	return b.Bytes(), err
}

// hubBuilder collects the problems of annotations.
type hubBuilder struct {
	annotations map[string]string
	errs        []error
}

func (b *hubBuilder) fail(format string, arguments ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, arguments...))
}

func (b *hubBuilder) required(name string) string {
	if b.annotations[name] == "" {
		b.fail("policy metadata must specify %q in annotations", name)
	}
	return b.annotations[name]
}

func (b *hubBuilder) version(fallback string) string {
	version, from := b.annotations[annotationVersion], "annotation "+annotationVersion
	if version == "" {
		version, from = fallback, "--version"
	}
	if version == "" {
		b.required(annotationVersion)
		return ""
	}
	if _, err := versions.ParseSemantic(version); err != nil {
		b.fail("policy version must be in semver: %s: %q: %w: write one such as 1.2.3", from,
			version, err)
	}
	return version
}

func (b *hubBuilder) image(version string) string {
	repository := b.required(annotationOCIURL)
	if repository == "" {
		return ""
	}
	text := repository + ":v" + version
	if _, err := moduleuri.ParseReference(text); err != nil {
		b.fail(
			"annotation %q in policy metadata is malformed: %q: %w: write a repository such as ghcr.io/kubewarden/policies/cel-policy",
			annotationOCIURL, repository, err)
	}
	return text
}

func (b *hubBuilder) url(name string) string {
	text := b.annotations[name]
	if text == "" {
		return ""
	}
	if u, err := url.Parse(text); err != nil || u.Scheme == "" || u.Host == "" {
		b.fail(
			"annotation %q in policy metadata is malformed: %q is not a URL: write one such as https://github.com/kubewarden/cel-policy",
			name, text)
	}
	return text
}

func (b *hubBuilder) keywords() (words []string) {
	text, there := b.annotations[annotationKeywords]
	if !there {
		return nil
	}
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			b.fail("annotation %q in policy metadata is malformed, must be csv values",
				annotationKeywords)
			return nil
		}
		words = append(words, word)
	}
	return words
}

// links returns links to the module of a release, if that is known, and to the source.
func (b *hubBuilder) links(version string) []link {
	source := b.url(annotationSource)
	if source == "" {
		return nil
	}
	links := []link{{"source", source}}
	if u, err := url.Parse(source); err == nil && u.Host == "github.com" {
		links =
			append([]link{{"policy", source + "/releases/download/v" + version + "/policy.wasm"}},
				links...)
	}
	return links
}

func (b *hubBuilder) maintainers() (all []maintainer) {
	text, there := b.annotations[annotationAuthor]
	if !there {
		return nil
	}
	addresses, err := mail.ParseAddressList(text)
	if err != nil {
		b.fail(
			`annotation %q in policy metadata is malformed, must be csv values of "name <email>": %w`,
			annotationAuthor, err)
	}
	for _, address := range addresses {
		all = append(all, maintainer{address.Name, address.Address})
	}
	return all
}

func (b *hubBuilder) hubAnnotations(p *Package) map[string]string {
	rules, resources := []hubRule{}, []hubResource{}
	for _, rule := range p.Metadata.Rules {
		rules = append(rules, hubRule(rule))
	}
	for _, resource := range p.Metadata.ContextAwareResources {
		resources = append(resources, hubResource(resource))
	}
	annotations := map[string]string{
		"kubewarden/mutation": strconv.FormatBool(p.Metadata.Mutating),
		"kubewarden/rules":    b.yaml(rules),
	}
	if len(resources) > 0 {
		annotations["kubewarden/contextAwareResources"] = b.yaml(resources)
	}
	if p.Questions != nil {
		annotations["kubewarden/questions-ui"] = string(p.Questions)
	}
	if text := b.annotations[annotationResources]; text != "" {
		annotations["kubewarden/resources"] = text
	}
	if text, there := b.annotations[annotationHiddenUI]; there {
		if text != "true" && text != "false" {
			b.fail("annotation %q in policy metadata is malformed: %q is neither true nor false",
				annotationHiddenUI, text)
		}
		annotations["kubewarden/hidden-ui"] = text
	}
	return annotations
}

func (b *hubBuilder) yaml(value any) string {
	text, err := encode(value)
	if err != nil {
		b.errs = append(b.errs, err)
	}
	return string(text)
}
