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

	"github.com/wasm-admission/wasm-admission/test/registry"
)

// subjects are modules that cosign signed as required, in all ways.
type subjects struct {
	keyBundle, keyLogged, keyLayer, keyFile, keyFileLogged signed
	emailBundle, emailLayer, emailFile                     signed
	workflowBundle, workflowLayer, workflowFile            signed
	rsaLayer, edwardsBundle                                signed
}

func (x *table) sign() (b subjects) {
	own, mail, flow := x.byKey("own", false), x.byEmail(email),
		x.byWorkflow(owner+"/"+repository, workflow, ref)
	b.keyBundle = x.image(x.plain, x.wasm, own, false, "--annotations", "env=prod")
	b.keyLogged = x.image(x.other, x.wasm, x.byKey("own", true), false)
	b.keyLayer = x.image(x.plain, x.wasm, own, true, "--annotations", "env=prod")
	b.keyFile = x.file(x.wasm, own)
	b.keyFileLogged = x.file(x.wasm, x.byKey("own", true))
	b.emailBundle = x.image(x.plain, x.wasm, mail, false, "--annotations", "env=prod")
	// Use up index 0 of the log, which is indistinguishable from no index.
	x.image(x.plain, x.another(), mail, true)
	b.emailLayer = x.image(x.other, x.wasm, mail, true, "--annotations", "env=prod")
	b.workflowLayer = x.image(x.plain, x.wasm, flow, true)
	b.emailFile = x.file(x.wasm, mail)
	b.workflowBundle = x.image(x.other, x.wasm, flow, false)
	b.workflowFile = x.file(x.wasm, flow)
	b.rsaLayer = x.image(x.other, x.wasm, x.byKey("rsa", false), true)
	b.edwardsBundle = x.image(x.plain, x.wasm, x.byKey("edwards", false), false)
	return b
}

// demanded is the requirement of all servers here: a signature by the key, by the email address, or
// by the workflow.
func (x *table) demanded() []map[string]any {
	return []map[string]any{
		x.byKey("own", false).demand,
		x.fromIssuer(x.instance.Issuer.URL, map[string]string{"equal": email}),
		x.fromGitHub(owner, repository),
	}
}

// foreign adds modules that are unsigned, or signed by others.
func (x *table) foreign() {
	other := x.another()
	x.refuse("unsigned image", "none was found at all", signed{wasm: x.wasm})
	x.refuse("unsigned file", "none was found at all", signed{wasm: x.wasm, isFile: true})
	for _, who := range []struct {
		what, want string
		identity   identity
	}{
		{"a foreign key", "not by key", x.byKey("foreign", false)},
		{"a foreign key, logged", "not by key", x.byKey("foreign", true)},
		{"a key of another kind", "not by key", x.byKey("edwards", false)},
		{"another address", `by "boss@example.com"`, x.byEmail("boss@example.com")},
		{"an address that begins alike", `by "releases@example.com.evil.test"`,
			x.byEmail(email + ".evil.test")},
		{"an address that ends alike", `by "xreleases@example.com"`, x.byEmail("x" + email)},
		{"an address in capitals", `by "Releases@example.com"`, x.byEmail("Releases@example.com")},
		{"a workflow of another owner", `by "https://github.com/evil/`,
			x.byWorkflow("evil/"+repository, workflow, ref)},
		{"a workflow of an owner that begins alike", `by "https://github.com/examples/`,
			x.byWorkflow(owner+"s/"+repository, workflow, ref)},
		{"a workflow of another repository", `by "https://github.com/example/other/`,
			x.byWorkflow(owner+"/other", workflow, ref)},
		{"a workflow of a repository that begins alike",
			`by "https://github.com/example/policies-fork/`,
			x.byWorkflow(owner+"/"+repository+"-fork", workflow, ref)},
		{"a workflow of a repository in capitals", `by "https://github.com/example/Policies/`,
			x.byWorkflow(owner+"/Policies", workflow, ref)},
	} {
		x.refuse("image by "+who.what, who.want, x.image(x.plain, x.wasm, who.identity, false))
		x.refuse("file by "+who.what, "", x.file(x.wasm, who.identity))
	}
	x.refuse("layer by a foreign key", "not by key",
		x.image(x.other, x.wasm, x.byKey("foreign", false), true))
	x.refuse("layer by a key of another kind", "not by key",
		x.image(x.plain, x.wasm, x.byKey("rsa", false), true))
	x.refuse("layer by another address", `by "boss@example.com"`,
		x.image(x.plain, x.wasm, x.byEmail("boss@example.com"), true))
	x.refuse("layer by a workflow of another owner", `by "https://github.com/evil/`,
		x.image(x.other, x.wasm, x.byWorkflow("evil/"+repository, workflow, ref), true))
	for _, who := range []struct {
		what     string
		identity identity
	}{{"the key", x.byKey("own", false)}, {"the key, logged", x.byKey("own", true)},
		{"the address", x.byEmail(email)},
		{"the workflow", x.byWorkflow(owner+"/"+repository, workflow, ref)}} {
		x.refuse("attestation by "+who.what, "an attestation, not a signature",
			x.attestation(x.other, who.identity))
		of := x.image(x.other, other, who.identity, false)
		of.wasm = x.wasm
		x.refuse("signature of another digest by "+who.what, "", of)
		file := x.file(other, who.identity)
		file.wasm = x.wasm
		x.refuse("signature of another file by "+who.what, "", file)
	}
	for what, who := range map[string]identity{
		"the key":     x.byKey("own", false),
		"the address": x.byEmail(email),
	} {
		layer := x.image(x.plain, other, who, true)
		layer.wasm = x.wasm
		x.refuse("layer of another digest by "+what, "about another artifact", layer)
	}
}

// exchanged adds signatures that are attached to the wrong subject.
func (x *table) exchanged(b subjects) {
	as := func(m signed, isFile bool) signed { m.isFile = isFile; return m }
	x.refuse("bundle of a file, by key, beside an image", "signs a file, not an image",
		as(b.keyFile, false))
	x.refuse("bundle of a file, by address, beside an image", "signs a file, not an image",
		as(b.emailFile, false))
	x.refuse("bundle of an image, by key, beside a file",
		"a statement, not a signature of the file", as(b.keyBundle, true))
	x.refuse("bundle of an image, by workflow, beside a file",
		"a statement, not a signature of the file", as(b.workflowBundle, true))
	garbage := b.emailBundle
	for what, content := range map[string]string{
		"no JSON":         "bundle",
		"an empty object": "{}",
		"cut":             string(b.emailBundle.bundle[:len(b.emailBundle.bundle)-1]),
	} {
		garbage.bundle = []byte(content)
		x.refuse("bundle that is "+what, "", garbage)
	}
	file := b.keyFile
	file.bundle = []byte{}
	x.refuse("bundle for an empty file", "", file)
	file = b.keyFile
	file.wasm = x.another()
	x.refuse("file changed after it was signed", "", file)
}

// layers adds signatures in the format of cosign 2 with one of their parts changed.
func (x *table) layers(b subjects) {
	good := b.keyLayer.layer
	change := func(what, want string, payload []byte, signature string) {
		m := b.keyLayer
		m.layer = &registry.Layer{
			Payload:     payload,
			Annotations: map[string]string{signatureAnnotation: signature},
		}
		if signature == "" {
			m.layer.Annotations = nil
		}
		x.refuse("layer: "+what, want, m)
	}
	signature := good.Annotations[signatureAnnotation]
	for _, way := range ways(x.document(good.Payload)) {
		payload := x.edit(good.Payload, way, remove)
		change("payload without "+text(way), "", payload, signature)
		if _, isText := x.at(good.Payload, way...).(string); isText {
			change("payload with "+text(way)+" changed", "", x.edit(good.Payload, way, bend),
				signature)
		}
	}
	change("payload with something behind", "",
		append(good.Payload[:len(good.Payload):len(good.Payload)], ' '), signature)
	change("signature changed", "not by key", good.Payload, bend(signature).(string)) //nolint:forcetypeassert // bend turns a string into a string
	change("signature of another payload", "not by key", good.Payload,
		x.image(x.plain, x.another(), x.byKey("own", false), true).
			layer.Annotations[signatureAnnotation])
	change("signature missing", "", good.Payload, "")
	change("signature that is no base64", "", good.Payload, "?")
	change("signature in hexadecimal", "", good.Payload, "3045")
	change("certificate as signature", "", good.Payload,
		base64.StdEncoding.EncodeToString(x.instance.Keys.FulcioAuthority.Raw))
}
