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

package sigstore

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// maxLogBodyDepth bounds the nesting of a log entry's body.
const maxLogBodyDepth = 16

// proposals are names that occur in a body before it is entered into a log. The library would
// verify every signature in such a body with every key in it.
var proposals = []string{"proposedcontent", "payload"}

// boundBody checks the body of a log entry. It refuses a body that no log would write, and keys
// that would take long to verify with. The library verifies the signature in an entry as soon as it
// parses it, before it checks that a log contains the entry.
func boundBody(body []byte) error {
	if err := bounded("the body of a log entry", len(body), MaxLogBodyBytes); err != nil {
		return err
	}
	// Logs write only base64 and names. Without escapes and other alphabets, each name has only one
	// spelling.
	if slices.ContainsFunc(body, func(b byte) bool { return b == '\\' || b < ' ' || b > '~' }) {
		return errors.New("the body of a log entry is not in canonical form")
	}
	if err := checkNames(body); err != nil {
		return err
	}
	var entry struct {
		Spec struct {
			Signature struct {
				PublicKey struct {
					Content []byte `json:"content"`
				} `json:"publicKey"`
			} `json:"signature"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(body, &entry); err != nil {
		return wrap("the body of a log entry is not in canonical form", err)
	}
	return checkLoggedKeys(entry.Spec.Signature.PublicKey.Content)
}

// checkNames refuses duplicate names, ignoring case, because the library might use either one. It
// also refuses the names of proposals.
func checkNames(body []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	var objects []map[string]bool // nil for a list
	isName := func() bool { return len(objects) > 0 && objects[len(objects)-1] != nil }
	named := false // the previous token was a name
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wrap("the body of a log entry is not in canonical form", err)
		}
		switch delimiter, isDelimiter := token.(json.Delim); {
		case isDelimiter && (delimiter == '{' || delimiter == '['):
			var object map[string]bool
			if delimiter == '{' {
				object = map[string]bool{}
			}
			if objects, named = append(objects, object), false; len(objects) > maxLogBodyDepth {
				return fmt.Errorf("the body of a log entry is nested more than %d deep",
					maxLogBodyDepth)
			}
		case isDelimiter:
			if objects, named = objects[:len(objects)-1], false; len(objects) == 0 &&
				int(decoder.InputOffset()) != len(body) {
				return errors.New(
					"the body of a log entry is not in canonical form: something is behind it")
			}
		case named || !isName():
			named = false
		default:
			name, object := strings.ToLower(token.(string)), objects[len(objects)-1]
			if object[name] {
				return fmt.Errorf("the body of a log entry has %q twice", name)
			}
			if slices.Contains(proposals, name) {
				return errors.New(
					"the body of a log entry is that of a proposal, rather than of an entry")
			}
			object[name], named = true, true
		}
	}
}

// checkLoggedKeys refuses PEM keys and certificates of an unsupported kind or size.
func checkLoggedKeys(text []byte) error {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if block.Type == "CERTIFICATE" {
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				key = c.PublicKey
			}
		}
		if err != nil {
			return wrap("the key in a log entry", err)
		}
		if err := verification.CheckKey(key); err != nil {
			return wrap("the key in a log entry", err)
		}
	}
	return nil
}
