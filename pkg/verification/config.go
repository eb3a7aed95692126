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

package verification

// Kind says in which way a signature shows who made it.
type Kind string

// The kinds of Kubewarden's verification config.
const (
	// KindPublicKey demands a signature by a key.
	KindPublicKey Kind = "pubKey"
	// KindGenericIssuer demands one by an identity that an issuer of OIDC tokens vouches for.
	KindGenericIssuer Kind = "genericIssuer"
	// KindGitHubAction demands one by a workflow of GitHub Actions.
	KindGitHubAction Kind = "githubAction"
)

// gitHubIssuer is the issuer of the tokens that workflows of GitHub Actions sign with.
const gitHubIssuer = "https://token.actions.githubusercontent.com"

// Bounds of a config. Each signature that it names may be compared with each candidate.
const (
	// MaxConfigBytes bounds a config as text.
	MaxConfigBytes = 256 << 10
	// maxSignatures bounds each list of signatures.
	maxSignatures = 32
	// maxAnnotations bounds the annotations of one signature.
	maxAnnotations = 32
)

// Config is Kubewarden's verification config, version v1: which signatures an artifact must have. [ParseConfig] makes one
// that is valid and in normal form. It is not changed.
type Config struct {
	// AllOf are signatures all of which must be there.
	AllOf []Signature `json:"allOf,omitempty"`
	// AnyOf are signatures some of which must be there; nil demands none. One of both is set at least.
	AnyOf *AnyOf `json:"anyOf,omitempty"`
}

// AnyOf is a choice of signatures.
type AnyOf struct {
	// MinimumMatches is how many entries of Signatures must be met. Default: 1.
	MinimumMatches int `json:"minimumMatches"`
	// Signatures are never empty, and none is there twice. If more than one has to be met no key is there twice, so that
	// whoever has one key counts once.
	Signatures []Signature `json:"signatures"`
}

// Signature says what one signature must be.
type Signature struct {
	Kind Kind `json:"kind"`
	// Owner is, of a [KindGitHubAction], the account on GitHub that owns the workflow's repository, compared letter by
	// letter. Of a [KindPublicKey] it is a text for people, perhaps "".
	Owner string `json:"owner,omitempty"`
	// Repo is the repository's name without its owner; "" means any of the owner's.
	Repo string `json:"repo,omitempty"`
	// Key is in PEM (PKIX).
	Key string `json:"key,omitempty"`
	// Issuer is that of the token, compared letter by letter.
	Issuer string `json:"issuer,omitempty"`
	// Subject is set for a [KindGenericIssuer] only.
	Subject *Subject `json:"subject,omitempty"`
	// Annotations are what must have been signed along, by this very signature.
	Annotations map[string]string `json:"annotations,omitempty"`

	// fingerprint is the SHA-256 of the key in DER, in hexadecimal digits.
	fingerprint string
}

// Subject says whose signature it must be. Exactly one field is set.
type Subject struct {
	// Equal is the whole subject: an e-mail address or a URI.
	Equal string `json:"equal,omitempty"`
	// URLPrefix is what the subject begins with. It is an absolute URL in normal form: its scheme and host are in lower
	// case, it has no default port and no ".." in its path, which ends with a slash.
	URLPrefix string `json:"urlPrefix,omitempty"`
}
