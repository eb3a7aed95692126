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
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// imageSite is a server with policies that verify the images of Pods, and the images' registry.
type imageSite struct {
	*testing.T
	server   *harness.Server
	registry *registry.Registry
	// digests are the digests of the signed images, by name.
	digests map[string]string
}

// verifyImages returns policies that verify images with a key. If an image cannot be verified, Pods
// in namespace closed are denied, and Pods in namespace open are admitted. Answers are cached for a
// second, and for staleTTL if the registry does not respond.
func verifyImages(host string, key *signing.Key, staleTTL time.Duration) string {
	pem, _ := json.Marshal(key.PEM) // a string can always be encoded
	policy := func(namespace, failurePolicy string) string {
		return fmt.Sprintf(`
- name: images-%s
  module: MODULES/verify-images-rust.wasm
  mutating: true
  failurePolicy: %s
  settings: {signatures: [{image: "*", pubKeys: [%s]}]}
  hostCapabilities: [oci/*]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
  - {apiGroups: [apps], apiVersions: [v1], resources: [deployments], operations: [CREATE]}`, namespace, failurePolicy, pem)
	}
	return fmt.Sprintf(`
sources: {insecure: [%[1]q]}
capabilities: {oci: {registries: [%[1]q], cacheTTL: 1s, failureTTL: 100ms, staleTTL: %[2]s, lookTimeout: 1s}}
policies:`, host, staleTTL) + policy("closed", "Fail") + policy("open", "Ignore")
}

// newImageSite starts the server and the registry. The images old and new are signed, each in one
// format.
func newImageSite(t *testing.T, staleTTL time.Duration) *imageSite {
	t.Helper()
	s, key, foreign := &imageSite{T: t, digests: map[string]string{}}, signing.NewKey(t),
		signing.NewKey(t)
	s.registry = registry.Start(t, registry.Options{})
	bundle := func(name string, key *signing.Key) {
		s.digests[name] = s.registry.Push(t, name, "v1", []byte(name))
		s.registry.PushReferrer(t, name, s.digests[name], registry.BundleMediaType,
			key.Bundle(t, s.digests[name], nil))
	}
	bundle("new", key)
	bundle("unasked", key)
	bundle("foreign", foreign)
	s.digests["old"] = s.registry.Push(t, "old", "v1", []byte("old"))
	s.registry.PushSignatures(t, "old", s.digests["old"], key.Layer(t, s.digests["old"], nil))
	s.registry.Push(t, "unsigned", "v1", []byte("unsigned"))
	s.server = harness.Start(t,
		harness.Options{
			FeatureGate: true,
			AdmissionConfig: admissionConfiguration(modules(t),
				verifyImages(s.registry.Host, key, staleTTL)),
		})
	for _, name := range []string{"closed", "open"} {
		_, err := s.server.Clientset().CoreV1().Namespaces().Create(t.Context(),
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	return s
}

func (s *imageSite) image(name string) string { return s.registry.Host + "/" + name + ":v1" }

// create creates a Pod in a namespace, within the time limit for policies, and returns its image.
func (s *imageSite) create(namespace, name string) (image string, err error) {
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	object := pod("", s.image(name))
	object.GenerateName = name + "-"
	created, err := s.server.Clientset().CoreV1().Pods(namespace).
		Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return created.Spec.Containers[0].Image, nil
}

// requirePinned checks that the server replaces the image of a Pod by its digest.
func (s *imageSite) requirePinned(name string) error {
	image, err := s.create("closed", name)
	if want := s.image(name) + "@" + s.digests[name]; err == nil && image != want {
		err = fmt.Errorf("a Pod has image %s, want %s", image, want)
	}
	return err
}

// requireRefused checks that a Pod with an image is denied.
func (s *imageSite) requireRefused(name, why string) error {
	image, err := s.create("closed", name)
	switch {
	case err == nil:
		return fmt.Errorf("a Pod with image %s was admitted", image)
	case !strings.Contains(err.Error(), why):
		return fmt.Errorf("a Pod was denied for another reason: %w", err)
	}
	return nil
}

// load makes several clients create Pods of all kinds, for a number of rounds each.
func (s *imageSite) load(clients, rounds int, unsigned string) {
	s.Helper()
	var group errgroup.Group
	for range clients {
		group.Go(func() error {
			for range rounds {
				for _, err := range []error{
					s.requirePinned("old"), s.requirePinned("new"),
					s.requireRefused("unsigned", unsigned), s.requireRefused("foreign", unsigned),
				} {
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	require.NoError(s, group.Wait())
}

// looks returns how many lookups with an operation had a result.
func (s *imageSite) looks(operation, result string) (count int) {
	s.Helper()
	text, err := s.server.Metrics(s.Context())
	require.NoError(s, err)
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line,
			fmt.Sprintf("apiserver_wasm_admission_image_looks_total{operation=%q,result=%q} ",
				operation, result)); found {
			_, err := fmt.Sscan(value, &count)
			require.NoError(s, err)
		}
	}
	return count
}

// The server replaces tags by verified digests, under load and while the registry is down. For a
// configured time, it uses cached answers. Without an answer, the failure policy decides. No
// request waits longer than its time limit.
func TestImagesAreVerifiedUnderLoad(t *testing.T) {
	s := newImageSite(t, 12*time.Second)
	s.load(4, 10, "no signature meets")
	require.Positive(t, s.looks("v2/verify", "cached"))
	require.Positive(t, s.looks("v2/verify", "asked"))
	d := deployment("web", 1)
	d.Spec.Template.Spec.Containers[0].Image = s.image("new")
	created, err := s.server.Clientset().AppsV1().Deployments("closed").
		Create(t.Context(), d, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, s.image("new")+"@"+s.digests["new"],
		created.Spec.Template.Spec.Containers[0].Image)

	t.Log("the registry is stopped while Pods are created")
	var group errgroup.Group
	stopped := make(chan struct{})
	for range 4 {
		group.Go(func() error {
			for rounds := 0; rounds < 10; {
				select {
				case <-stopped: // only later Pods count
					rounds++
				default:
				}
				for _, name := range []string{"old", "new"} {
					if err := s.requirePinned(name); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	s.registry.Stop()
	close(stopped)
	require.NoError(t, group.Wait())
	// Without an answer, an image is neither verified nor refused. The policy is not at fault, so
	// no circuit breaker may open.
	for range 12 {
		require.NoError(t, s.requireRefused("unasked", "cannot be verified"))
	}
	require.Eventually(t, func() bool {
		require.NoError(t, s.requirePinned("old"))
		return s.looks("v2/verify", "stale") > 0
	}, time.Minute, 50*time.Millisecond, "expired answers must be used while the registry is down")
	image, err := s.create("open", "unasked")
	require.NoError(t, err)
	require.Equal(t, s.image("unasked"), image)

	t.Log("the cached answers have become too old")
	require.Eventually(t, func() bool {
		return s.requireRefused("old", "cannot be verified") == nil
	}, time.Minute, 100*time.Millisecond)

	t.Log("the registry is back")
	s.registry = registry.Start(t,
		registry.Options{Root: s.registry.Options.Root, Address: s.registry.Host})
	// for a moment, the server still remembers that the registry was down
	for _, name := range []string{"unasked", "old", "new"} {
		require.Eventually(t, func() bool { return s.requirePinned(name) == nil }, time.Minute,
			50*time.Millisecond)
	}
	for _, name := range []string{"foreign", "unsigned"} {
		require.Eventually(t, func() bool {
			return s.requireRefused(name, "no signature meets") == nil
		}, time.Minute, 50*time.Millisecond)
	}
	s.load(2, 3, "no signature meets")
}
