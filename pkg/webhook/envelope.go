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

package webhook

import "github.com/wasm-admission/wasm-admission/internal/jsonscan"

// maxDepth is more than objects from the apiserver's clients nest in practice.
const maxDepth = 200

// envelope is an admission review without its objects, which are most of it. A general decoder
// reads the objects three times, only to keep them as they are.
type envelope struct {
	// rest is the review with null in place of each object.
	rest []byte
	// object, oldObject and options are those of the request, as the review has them.
	object, oldObject, options []byte
}

// open takes the objects out of a review. It returns false for text that the apiserver does not
// write, although some of it is a valid review: invalid JSON, names with escapes, one of the fields
// twice, or deeper nesting than objects have.
func open(review []byte) (e envelope, ok bool) {
	o := opener{Scanner: jsonscan.Scanner{Data: review, MaxDepth: maxDepth}}
	requests := 0
	end := o.Object(o.Space(0), 0, func(m jsonscan.Member) int {
		switch {
		case m.Escaped:
			return jsonscan.Invalid
		case string(m.Name) != "request" || review[m.Value] != '{':
			return o.Value(m.Value, 1)
		}
		requests++
		return o.Object(m.Value, 1, o.field)
	})
	if end == jsonscan.Invalid || o.Space(end) != len(review) || requests != 1 {
		return envelope{}, false
	}
	o.envelope.rest = append(o.envelope.rest, review[o.copied:]...)
	return o.envelope, true
}

// opener is the state of one call of open.
type opener struct {
	jsonscan.Scanner
	envelope envelope
	copied   int // how much of the review is in the envelope's rest
	seen     struct{ object, oldObject, options bool }
}

// field passes a field of the request, and takes it out if it is an object.
func (o *opener) field(m jsonscan.Member) (end int) {
	end = o.Value(m.Value, 2)
	if end == jsonscan.Invalid || m.Escaped {
		return jsonscan.Invalid
	}
	var to *[]byte
	var seen *bool
	switch string(m.Name) {
	case "object":
		to, seen = &o.envelope.object, &o.seen.object
	case "oldObject":
		to, seen = &o.envelope.oldObject, &o.seen.oldObject
	case "options":
		to, seen = &o.envelope.options, &o.seen.options
	default:
		return end
	}
	if *seen {
		return jsonscan.Invalid
	}
	*seen = true
	if o.Data[m.Value] == '{' {
		*to = o.Data[m.Value:end:end]
		o.envelope.rest = append(append(o.envelope.rest, o.Data[o.copied:m.Value]...), "null"...)
		o.copied = end
	}
	return end
}
