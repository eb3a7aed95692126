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
	"errors"
	"strings"
	"unicode"

	"github.com/transparency-dev/merkle/proof"
)

// maxErrorRunes bounds what is said of a candidate: libraries quote from it.
const maxErrorRunes = 500

// reason is an error in one line. Texts of libraries have line breaks, and parts that whoever made a candidate chose.
type reason struct {
	text string
	err  error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.err }

// wrap says where an error happened, in one line.
func wrap(where string, err error) error {
	return &reason{text: oneLine(where + ": " + err.Error()), err: err}
}

// clearer puts into words what the library says of a proof of a log in the bytes of two hashes, leaves out the error that
// it formats though there is none, and names what most often makes it count too few logs or timestamps.
func clearer(err error) error {
	if errors.As(err, new(proof.RootMismatchError)) {
		return &reason{text: "the log does not prove that it has this signature, by this certificate or key, of this content", err: err}
	}
	if text, cut := strings.CutSuffix(err.Error(), "; error: %!w(<nil>)"); cut {
		return &reason{text: text + ": there is none", err: err}
	}
	if strings.Contains(err.Error(), "not enough verified") {
		return &reason{text: err.Error() + ": what it has of one is missing, not genuine, or of another Sigstore than the trust root", err: err}
	}
	return err
}

// oneLine makes what cannot be printed a space, and cuts what is long.
func oneLine(text string) string {
	cut, runes := false, 0
	text = strings.Map(func(r rune) rune {
		if runes++; runes > maxErrorRunes {
			cut = true
			return -1
		}
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if cut {
		text += "…"
	}
	return strings.Join(strings.Fields(text), " ")
}
