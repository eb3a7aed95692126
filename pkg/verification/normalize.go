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

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// gitHubName matches the names of GitHub accounts and repositories.
var gitHubName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// neverSigned are the fields of a payload that cosign writes itself. They are not annotations.
var neverSigned = []string{"creator", "timestamp"}

// normalize checks the fields and converts them to normal form.
func (c *Config) normalize() (errs []error) {
	allOf := field.NewPath("allOf")
	for n := range c.AllOf {
		errs = append(errs, c.AllOf[n].normalize(allOf.Index(n))...)
	}
	errs = append(errs, checkDistinct(allOf, c.AllOf, false)...)
	if c.AnyOf != nil {
		anyOf := field.NewPath("anyOf", "signatures")
		for n := range c.AnyOf.Signatures {
			errs = append(errs, c.AnyOf.Signatures[n].normalize(anyOf.Index(n))...)
		}
		errs = append(errs, checkDistinct(anyOf, c.AnyOf.Signatures, c.AnyOf.MinimumMatches > 1)...)
	}
	return errs
}

// checkDistinct refuses entries that a single signature would meet together, as far as the config
// shows it.
func checkDistinct(path *field.Path, signatures []Signature, keysToo bool) (errs []error) {
	for n := range signatures {
		for before := range n {
			a, b := &signatures[before], &signatures[n]
			switch {
			case a.demandsSame(b):
				errs = append(errs,
					fmt.Errorf("%s: demands the same as %s: remove one of the two", path.Index(n),
						path.Index(before)))
			case keysToo && a.fingerprint != "" && a.fingerprint == b.fingerprint:
				errs = append(errs,
					fmt.Errorf(
						"%s: has the key of %s, which would count twice: remove one of the two, or set minimumMatches to 1",
						path.Index(n), path.Index(before)))
			}
		}
	}
	return errs
}

func (s *Signature) demandsSame(other *Signature) bool {
	same := s.Kind == other.Kind && s.fingerprint == other.fingerprint &&
		s.Issuer == other.Issuer && s.Repo == other.Repo &&
		maps.Equal(s.Annotations, other.Annotations)
	if s.Subject != nil && other.Subject != nil {
		same = same && *s.Subject == *other.Subject
	}
	return same && (s.Kind == KindPublicKey || s.Owner == other.Owner)
}

func (s *Signature) normalize(path *field.Path) (errs []error) {
	switch s.Kind {
	case KindPublicKey:
		errs = append(errs, s.checkKey(path.Child("key")))
	case KindGenericIssuer:
		if s.Issuer == "" {
			errs = append(errs,
				fmt.Errorf("%s: is missing: write the URL of the issuer of tokens",
					path.Child("issuer")))
		}
		errs = append(errs, s.Subject.normalize(path.Child("subject")))
	case KindGitHubAction:
		if !gitHubName.MatchString(s.Owner) {
			errs = append(errs,
				fmt.Errorf("%s: %.100q is not a GitHub account: write only its name",
					path.Child("owner"), s.Owner))
		}
		if s.Repo != "" && !gitHubName.MatchString(s.Repo) {
			errs = append(errs,
				fmt.Errorf(
					"%s: %.100q is not a GitHub repository: write its name without the owner",
					path.Child("repo"), s.Repo))
		}
	}
	annotations := path.Child("annotations")
	if len(s.Annotations) > maxAnnotations {
		errs = append(errs,
			fmt.Errorf("%s: has %d entries, at most %d are allowed: remove some", annotations,
				len(s.Annotations), maxAnnotations))
	}
	for _, name := range neverSigned {
		if _, ok := s.Annotations[name]; ok {
			errs = append(errs,
				fmt.Errorf(
					"%s: can never hold: cosign writes %s itself, and not as an annotation: remove it",
					annotations.Key(name), name))
		}
	}
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// checkKey parses the key. The error does not quote the key, because it may be a private one.
func (s *Signature) checkKey(path *field.Path) error {
	if s.Key == "" {
		return fmt.Errorf("%s: is missing: write the public key in PEM", path)
	}
	block, rest := pem.Decode([]byte(s.Key))
	switch {
	case block == nil:
		return fmt.Errorf(
			"%s: is not in PEM: write what cosign public-key prints, beginning with -----BEGIN PUBLIC KEY-----",
			path)
	case strings.Contains(block.Type, "PRIVATE"):
		return fmt.Errorf(
			"%s: is a private key, which everybody who reads the configuration can see now: replace it, and write the public one",
			path)
	case block.Type != "PUBLIC KEY":
		return fmt.Errorf("%s: is a %.100q: write a PUBLIC KEY (PKIX)", path, block.Type)
	case strings.TrimSpace(string(rest)) != "":
		return fmt.Errorf(
			"%s: has something after the key: write one key, and another key in a separate entry",
			path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s: is not a public key (PKIX): %w: write what cosign public-key prints",
			path, err)
	}
	if err := CheckKey(key); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(block.Bytes)
	s.fingerprint = hex.EncodeToString(sum[:])
	s.Key = string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
	return nil
}

func (s *Subject) normalize(path *field.Path) error {
	if s == nil || (s.Equal == "") == (s.URLPrefix == "") {
		return fmt.Errorf(
			"%s: must have exactly one of equal and urlPrefix: write the whole subject as equal, or what its URL begins with as urlPrefix",
			path)
	}
	if s.URLPrefix == "" {
		return nil
	}
	prefix, err := normalizePrefix(s.URLPrefix)
	if err != nil {
		return fmt.Errorf("%s: %.200q %w: write something like https://github.com/owner/",
			path.Child("urlPrefix"), s.URLPrefix, err)
	}
	s.URLPrefix = prefix
	return nil
}

// normalizePrefix does what Kubewarden does with the prefix of a subject, and refuses what is
// written in two ways.
func normalizePrefix(prefix string) (string, error) {
	u, err := url.Parse(prefix)
	switch {
	case err != nil || u.Scheme == "" || u.Hostname() == "" || u.Opaque != "":
		return "", errors.New("is not an absolute URL")
	case u.User != nil || strings.ContainsAny(prefix, `?#\`):
		return "", errors.New("has more than scheme, host and path")
	case strings.Contains(strings.ToLower(u.EscapedPath()), "%2e"):
		return "", errors.New("has escaped dots")
	}
	u = (&url.URL{}).ResolveReference(u) // resolves ..
	u.Host = strings.ToLower(u.Host)
	if u.Port() == "" || u.Port() == moduleuri.DefaultPort(u.Scheme) {
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	normal := u.Scheme + "://" + u.Host + cmp.Or(u.EscapedPath(), "/")
	if !strings.HasSuffix(normal, "/") {
		normal += "/"
	}
	return normal, nil
}
