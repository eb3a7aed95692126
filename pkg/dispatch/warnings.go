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

package dispatch

import (
	"context"
	"strings"
	"unicode"

	"k8s.io/apiserver/pkg/warning"
)

// Bounds of warnings to clients. The apiserver applies the first two only if there are too many
// warnings. This package always applies them.
const (
	maxWarningBytes  = 256
	maxWarningsBytes = 4096
	// maxWarnings bounds the warnings of one policy for one request.
	maxWarnings = 16
)

// warnings are the warnings of one phase. Those of the host come first, so that guests cannot
// displace them.
type warnings struct {
	host, guests []string
	guestBytes   int
}

// fromHost adds a warning of the host.
func (w *warnings) fromHost(text string) {
	w.host = append(w.host, cut(clean(text), maxWarningBytes))
}

// fromGuest adds the warnings of a guest, and returns how many it dropped.
func (w *warnings) fromGuest(texts []string) (dropped int) {
	for n, text := range texts {
		if n == maxWarnings {
			return dropped + len(texts) - n
		}
		text = cut(clean(cut(text, 4*maxWarningBytes)), maxWarningBytes)
		if text == "" || w.guestBytes+len(text) > maxWarningsBytes {
			dropped++
			continue
		}
		w.guestBytes += len(text)
		w.guests = append(w.guests, text)
	}
	return dropped
}

func (w *warnings) send(ctx context.Context) {
	for _, text := range append(w.host, w.guests...) {
		warning.AddWarning(ctx, "", text)
	}
}

// clean removes control characters, which a header cannot carry.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
