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

// Kind is the way in which a signature identifies its signer.
type Kind string

// The kinds of Kubewarden's verification config.
const (
	// KindPublicKey demands a signature by a key.
	KindPublicKey Kind = "pubKey"
	// KindGenericIssuer demands a signature by an identity from an issuer of OIDC tokens.
	KindGenericIssuer Kind = "genericIssuer"
	// KindGitHubAction demands a signature by a GitHub Actions workflow.
	KindGitHubAction Kind = "githubAction"
)

// gitHubIssuer is the issuer of the tokens with which GitHub Actions workflows sign.
const gitHubIssuer = "https://token.actions.githubusercontent.com"

// Bounds of a config. Each of its signatures may be compared with each candidate.
const (
	// MaxConfigBytes bounds a config as text.
	MaxConfigBytes = 256 << 10
	// maxSignatures bounds each list of signatures.
	maxSignatures = 32
	// maxAnnotations bounds the annotations of one signature.
	maxAnnotations = 32
)

// Config is Kubewarden's verification config, version v1. It says which signatures an artifact must
// have. [ParseConfig] returns a valid config in normal form. A config is immutable.
type Config struct {
	// AllOf lists signatures that are all required.
	AllOf []Signature `json:"allOf,omitempty"`
	// AnyOf lists signatures of which a minimum number is required. Nil demands none. At least one
	// of AllOf and AnyOf is set.
	AnyOf *AnyOf `json:"anyOf,omitempty"`
}

// AnyOf is a choice of signatures.
type AnyOf struct {
	// MinimumMatches is the required number of entries of Signatures. The default is 1.
	MinimumMatches int `json:"minimumMatches"`
	// Signatures is never empty and has no duplicates. If more than one entry is required, no key
	// occurs twice, so that the owner of a key counts only once.
	Signatures []Signature `json:"signatures"`
}

// Signature describes a required signature.
type Signature struct {
	Kind Kind `json:"kind"`
	// Owner is, for a [KindGitHubAction], the GitHub account that owns the workflow's repository.
	// It is compared exactly. For a [KindPublicKey], it is a text for people and may be "".
	Owner string `json:"owner,omitempty"`
	// Repo is the repository's name without its owner. With "", any repository of the owner is
	// accepted.
	Repo string `json:"repo,omitempty"`
	// Key is a PEM (PKIX) public key.
	Key string `json:"key,omitempty"`
	// Issuer is the issuer of the token. It is compared exactly.
	Issuer string `json:"issuer,omitempty"`
	// Subject is set only for a [KindGenericIssuer].
	Subject *Subject `json:"subject,omitempty"`
	// Annotations are annotations that this signature must cover.
	Annotations map[string]string `json:"annotations,omitempty"`

	// fingerprint is the SHA-256 digest of the key in DER, in hexadecimal digits.
	fingerprint string
}

// Subject describes the subject of a signer. Exactly one field is set.
type Subject struct {
	// Equal is the complete subject: an e-mail address or a URI.
	Equal string `json:"equal,omitempty"`
	// URLPrefix is a prefix of the subject. It is an absolute URL in normal form: its scheme and
	// host are in lower case, it has no default port, and its path has no ".." and ends with a
	// slash.
	URLPrefix string `json:"urlPrefix,omitempty"`
}
