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
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/sigstore/cosign"
)

// digestPart returns the digest in a reference.
func digestPart(reference string) string {
	_, d, _ := strings.Cut(reference, "@")
	return d
}

// images signs an image with a key of each kind, in each format, with annotations.
func (p *parity) images() {
	p.key("p256", "foreign")
	for n, kind := range cosign.Kinds {
		p.key(kind, kind)
		both(func(old bool) {
			r := []*registry.Registry{p.registry, p.other}[n%2]
			name := repositoryName(format(old), kind)
			reference := p.push(r, name, "v1")
			p.cosign.Sign(kind, reference, old, "--annotations", "env=prod", "--annotations",
				"team=a b", "--annotations", "empty=")
			prefix := "image/" + name
			p.ask(prefix+"/right key", r, name, "v1", kind)
			p.ask(prefix+"/right key by digest", r, name, digestPart(reference), kind)
			p.ask(prefix+"/foreign key", r, name, "v1", "foreign")
			p.ask(prefix+"/right annotations", r, name, "v1", kind, "env", "prod", "team", "a b")
			p.ask(prefix+"/wrong annotation", r, name, "v1", kind, "env", "test")
			p.ask(prefix+"/annotation that is not there", r, name, "v1", kind, "other", "prod")
		})
	}
}

// files signs a file with a key of each kind.
func (p *parity) files() {
	p.cosign.Write("changed", []byte("\x00asm changed"))
	for _, kind := range cosign.Kinds {
		file := kind + ".wasm"
		p.cosign.Write(file, []byte("\x00asm "+kind))
		p.cosign.SignFile(kind, file)
		p.askFile("file/"+kind+"/right key", file, file+".sigstore.json", kind)
		p.askFile("file/"+kind+"/foreign key", file, file+".sigstore.json", "foreign")
		p.askFile("file/"+kind+"/changed", "changed", file+".sigstore.json", kind)
	}
	p.cosign.Write("empty", nil)
	p.cosign.SignFile("p256", "empty")
	p.askFile("file/empty", "empty", "empty.sigstore.json", "p256")
	p.askFile("file/empty for another", "changed", "empty.sigstore.json", "p256")
}

// signers signs one image with several keys.
func (p *parity) signers() {
	p.key("p256", "second")
	both(func(old bool) {
		name := repositoryName("signers", format(old))
		reference := p.push(p.registry, name, "v1")
		p.cosign.Sign("p256", reference, old, "--annotations", "env=test")
		p.cosign.Sign("second", reference, old, "--annotations", "env=prod")
		p.cosign.Sign("second", reference, old, "--annotations", "env=later")
		p.ask("signers/"+format(old)+"/first", p.registry, name, "v1", "p256")
		p.ask("signers/"+format(old)+"/second", p.registry, name, "v1", "second")
		p.ask("signers/"+format(old)+"/nobody", p.registry, name, "v1", "foreign")
		p.ask("signers/"+format(old)+"/annotation of the other", p.registry, name, "v1", "p256",
			"env", "prod")
		p.ask("signers/"+format(old)+"/own annotation", p.registry, name, "v1", "second", "env",
			"prod")
	})
	reference := p.push(p.registry, "signers/both", "v1")
	p.cosign.Sign("p256", reference, true)
	p.cosign.Sign("second", reference, false)
	p.ask("signers/both formats/older key", p.registry, "signers/both", "v1", "p256")
	p.ask("signers/both formats/newer key", p.registry, "signers/both", "v1", "second")
	p.ask("signers/both formats/nobody", p.registry, "signers/both", "v1", "foreign")
}

// indexes signs an image for two platforms, with and without its platform images.
func (p *parity) indexes() {
	for _, recursive := range []bool{true, false} {
		both(func(old bool) {
			name := repositoryName(map[bool]string{true: "recursive", false: "flat"}[recursive],
				format(old))
			index := ocispec.Index{
				Versioned: specs.Versioned{SchemaVersion: 2},
				MediaType: ocispec.MediaTypeImageIndex,
			}
			var children []string
			for _, architecture := range []string{"amd64", "arm64"} {
				layer := p.other.PushBlob(p, name, ocispec.MediaTypeImageLayer,
					[]byte(architecture))
				child := p.other.PushManifest(p, name, architecture, image(layer))
				descriptor, err := p.other.Repository(p, name).Resolve(p.Context(), architecture)
				require.NoError(p, err)
				descriptor.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
				index.Manifests = append(index.Manifests, descriptor)
				children = append(children, child)
			}
			reference := p.other.Host + "/" + name + "@" +
				p.other.PushManifest(p, name, "v1", index)
			var more []string
			if recursive {
				more = []string{"--recursive"}
			}
			p.cosign.Sign("p256", reference, old, more...)
			p.ask("index/"+name+"/index", p.other, name, "v1", "p256")
			p.ask("index/"+name+"/child", p.other, name, children[1], "p256")
			p.ask("index/"+name+"/foreign key", p.other, name, "v1", "foreign")
		})
	}
}

// moved asks about signatures that belong to another artifact.
func (p *parity) moved() {
	p.push(p.registry, "moved/unsigned", "v1")
	p.ask("moved/unsigned", p.registry, "moved/unsigned", "v1", "p256")
	p.ask("moved/not there", p.registry, "moved/unsigned", "v2", "p256")
	both(func(old bool) {
		name := repositoryName("moved", format(old))
		p.cosign.Sign("p256", p.push(p.registry, name, "v1"), old)
		signed, err := p.registry.Repository(p, name).Resolve(p.Context(), "v1")
		require.NoError(p, err)
		p.push(p.registry, name+"/other", "v2")
		layer := p.registry.PushBlob(p, name, ocispec.MediaTypeImageLayer, []byte("moved"))
		moved := p.registry.PushManifest(p, name, "v1", image(layer))
		p.ask("moved/"+name+"/tag", p.registry, name, "v1", "p256")
		p.ask("moved/"+name+"/digest", p.registry, name, signed.Digest.String(), "p256")
		if old {
			// Copy the signatures of one image to the signature tag of another.
			repository := p.registry.Repository(p, name)
			p.copyTag(repository, signatureTag(signed.Digest.String()), repository,
				signatureTag(moved))
			p.ask("moved/"+name+"/signature of another image", p.registry, name, "v1", "p256")
			other := p.registry.Repository(p, name+"/copy")
			p.copyTag(repository, signed.Digest.String(), other, "v1")
			p.copyTag(repository, signatureTag(signed.Digest.String()), other,
				signatureTag(signed.Digest.String()))
			p.ask("moved/"+name+"/image and signature copied", p.registry, name+"/copy", "v1",
				"p256")
		}
	})
	// An attestation is not a signature.
	p.cosign.Write("predicate.json", []byte(`{"verdict":"harmless"}`))
	reference := p.push(p.registry, "moved/attested-older", "v1")
	p.cosign.Must("attest", "--yes", "--key", "p256.key", "--allow-http-registry",
		"--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false",
		"--predicate", "predicate.json", reference)
	p.ask("moved/attestation, older", p.registry, "moved/attested-older", "v1", "p256")
	reference = p.push(p.registry, "moved/both", "v1")
	p.cosign.Must("attest", "--yes", "--key", "second.key", "--allow-http-registry",
		"--signing-config", "signing-config.json", "--predicate", "predicate.json", reference)
	p.cosign.Sign("p256", reference, false)
	p.ask("moved/attestation beside a signature", p.registry, "moved/both", "v1", "p256")
}

func signatureTag(d string) string {
	return strings.Replace(digest.Digest(d).String(), ":", "-", 1) + ".sig"
}

// oddKeys asks with keys that are refused or cannot be read.
func (p *parity) oddKeys() {
	reference := p.push(p.registry, "keys", "v1")
	p.cosign.Sign("p256", reference, true)
	p.keys["two"] = append(append([]byte(nil), p.keys["p256"]...), p.keys["foreign"]...)
	p.cosign.Write("two.pub", p.keys["two"])
	p.ask("key/two in a file", p.registry, "keys", "v1", "two")
	p.keys["garbage"] =
		[]byte("-----BEGIN PUBLIC KEY-----\nZ2FyYmFnZQ==\n-----END PUBLIC KEY-----\n")
	p.cosign.Write("garbage.pub", p.keys["garbage"])
	p.ask("key/garbage", p.registry, "keys", "v1", "garbage")
	p.keys["private"] = p.cosign.Read("p256.key")
	p.cosign.Write("private.pub", p.keys["private"])
	p.ask("key/private", p.registry, "keys", "v1", "private")
}
