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

// maxErrorRunes bounds the text about a candidate, because the libraries quote from it.
const maxErrorRunes = 500

// reason is an error with a one-line text. Texts of the libraries have line breaks, and parts that
// the candidate's author chose.
type reason struct {
	text string
	err  error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.err }

// wrap adds where an error happened, and makes its text one line.
func wrap(where string, err error) error {
	return &reason{text: oneLine(where + ": " + err.Error()), err: err}
}

// clearer rewords some errors of the library. It explains a failed inclusion proof, for which the
// library prints only two hashes. It removes a nil error from a text. It adds the usual cause when
// the library counts too few logs or timestamps.
func clearer(err error) error {
	if errors.As(err, new(proof.RootMismatchError)) {
		return &reason{
			text: "the log does not prove that it contains this signature of this content by this certificate or key",
			err:  err,
		}
	}
	if text, cut := strings.CutSuffix(err.Error(), "; error: %!w(<nil>)"); cut {
		return &reason{text: text + ": there is none", err: err}
	}
	if strings.Contains(err.Error(), "not enough verified") {
		return &reason{
			text: err.Error() +
				": its entry or timestamp is missing, not genuine, or from another Sigstore instance than the trust root",
			err: err,
		}
	}
	return err
}

// oneLine replaces unprintable characters by spaces, and truncates a long text.
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
