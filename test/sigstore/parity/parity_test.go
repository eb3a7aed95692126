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

package parity

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/discovery"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/sigstore/cosign"
)

var whole = flag.Bool("parity", false, "compare all verdicts, which takes a minute or two")

// parity holds what the test cases need.
type parity struct {
	*testing.T
	cosign *cosign.Cosign
	// registry has no referrers API, but other does.
	registry, other *registry.Registry
	keys            map[string][]byte
	cases           []question
}

// question is a question that both verifiers answer.
type question struct {
	name         string
	ours, theirs func() error
}

func TestParity(t *testing.T) {
	if !*whole {
		t.Skip("takes a minute or two: run make cosign-parity")
	}
	p := &parity{
		T: t, cosign: cosign.New(t), keys: map[string][]byte{},
		registry: registry.Start(t, registry.Options{}),
		other:    registry.Start(t, registry.Options{InMemory: true, Referrers: true}),
	}
	p.images()
	p.files()
	p.signers()
	p.indexes()
	p.moved()
	p.oddKeys()
	p.compare()
}

// compare asks both verifiers all questions, and counts the results.
func (p *parity) compare() {
	unexplained, used, accepted := 0, map[string]bool{}, 0
	for _, q := range p.cases {
		ours, theirs := q.ours(), q.theirs()
		if ours == nil {
			accepted++
		}
		reason := ""
		for _, d := range differences {
			if d.cases.MatchString(q.name) && d.oursAccepts == (ours == nil) {
				reason = d.reason
			}
		}
		switch {
		case (ours == nil) == (theirs == nil):
			p.Logf("%s: accepted %t", q.name, ours == nil)
		case reason != "":
			used[reason] = true
			p.Logf("%s: ours %v; cosign %v: %s", q.name, ours, theirs, reason)
		default:
			unexplained++
			p.Errorf("%s: ours %v; cosign %v", q.name, ours, theirs)
		}
	}
	for _, d := range differences {
		require.True(p, used[d.reason], "this difference no longer exists: %s", d.reason)
	}
	figure.Print("cosign_parity_cases", float64(len(p.cases)), "count")
	figure.Print("cosign_parity_accepted", float64(accepted), "count")
	figure.Print("cosign_parity_unexplained", float64(unexplained), "count")
	require.GreaterOrEqual(p, len(p.cases), 60)
}

// key generates a key unless it exists.
func (p *parity) key(kind, name string) {
	if p.keys[name] == nil {
		p.keys[name] = p.cosign.Key(kind, name)
	}
}

// push pushes a unique image, and returns its reference by digest.
func (p *parity) push(r *registry.Registry, name, tag string) string {
	layer := r.PushBlob(p, name, ocispec.MediaTypeImageLayer, []byte(name+":"+tag))
	return r.Host + "/" + name + "@" + r.PushManifest(p, name, tag, image(layer))
}

func image(layers ...ocispec.Descriptor) ocispec.Manifest {
	m := registry.Manifest(layers...)
	m.MediaType = ocispec.MediaTypeImageManifest
	return m
}

// ask adds the question whether a key signed an image, with annotations.
func (p *parity) ask(name string, r *registry.Registry, repository, reference, key string,
	annotations ...string) {
	p.cases = append(p.cases, question{
		name: name,
		ours: func() error {
			return judge(p.Context(), r.Repository(p, repository), reference, p.keys[key],
				annotations)
		},
		theirs: func() error {
			separator := ":"
			if _, err := digest.Parse(reference); err == nil {
				separator = "@"
			}
			var more []string
			for n := 0; n < len(annotations); n += 2 {
				more = append(more, "--annotations", annotations[n]+"="+annotations[n+1])
			}
			return p.cosign.Verify(key, r.Host+"/"+repository+separator+reference, more...)
		},
	})
}

// judge returns our verdict on an image, for a policy that requires a signature by a key.
func judge(ctx context.Context, repository *remote.Repository, reference string, key []byte,
	annotations []string) error {
	manifest, err := repository.Resolve(ctx, reference)
	if err != nil {
		return err
	}
	signature := map[string]any{"kind": "pubKey", "key": string(key)}
	if len(annotations) > 0 {
		demanded := map[string]string{}
		for n := 0; n < len(annotations); n += 2 {
			demanded[annotations[n]] = annotations[n+1]
		}
		signature["annotations"] = demanded
	}
	document, err := json.Marshal(map[string]any{"apiVersion": "v1", "allOf": []any{signature}})
	if err != nil {
		return err
	}
	config, err := verification.ParseConfig(document)
	if err != nil {
		return err
	}
	artifact := verification.Artifact{Digest: manifest.Digest.String()}
	return verification.Judge(ctx, sigstore.New(nil), artifact,
		discovery.Find(ctx, repository, manifest),
		verification.Demand{Name: "demand", Config: config})
}

// askFile adds the question whether a key signed a file.
func (p *parity) askFile(name, file, bundle, key string) {
	p.cases = append(p.cases, question{
		name: name,
		ours: func() error {
			content := p.cosign.Read(file)
			candidate := &verification.Candidate{Place: bundle, Bundle: p.cosign.Read(bundle)}
			artifact := verification.Artifact{
				Digest:  digest.FromBytes(content).String(),
				IsFile:  true,
				Content: content,
			}
			_, err := sigstore.New(nil).Key(p.Context(), candidate, artifact, p.keys[key])
			return err
		},
		theirs: func() error { return p.cosign.VerifyFile(key, file, bundle) },
	})
}

// copyTag copies a tag and its content from one repository to another.
func (p *parity) copyTag(from *remote.Repository, reference string, to *remote.Repository,
	tag string) {
	descriptor, content, err := from.Manifests().FetchReference(p.Context(), reference)
	require.NoError(p, err)
	defer func() { _ = content.Close() }() // only read from
	var body bytes.Buffer
	_, err = body.ReadFrom(content)
	require.NoError(p, err)
	var manifest ocispec.Manifest
	require.NoError(p, json.Unmarshal(body.Bytes(), &manifest))
	for _, blob := range append(manifest.Layers, manifest.Config) {
		layer, err := from.Blobs().Fetch(p.Context(), blob)
		require.NoError(p, err)
		require.NoError(p, to.Blobs().Push(p.Context(), blob, layer))
		require.NoError(p, layer.Close())
	}
	require.NoError(p,
		to.Manifests().PushReference(p.Context(), descriptor, bytes.NewReader(body.Bytes()), tag))
}

// format returns the name of a format in test cases.
func format(old bool) string {
	if old {
		return "older"
	}
	return "bundle"
}

func both(ask func(old bool)) {
	ask(false)
	ask(true)
}

func repositoryName(parts ...any) string { return fmt.Sprintf("%s/%s", parts...) }
