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

package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// The fields that select objects of every kind.
const (
	nameField      = "metadata.name"
	namespaceField = "metadata.namespace"
)

const (
	// maxRequirements is the maximum number of requirements of a selector that is applied here.
	// Each object is compared with all of them while a guest waits.
	maxRequirements = 64
	// choiceOverhead is the approximate size of a cached choice without its key and response.
	choiceOverhead = 128
	// minChoices is the minimum size of the cached choices of a list. For large lists, the limit is
	// a quarter of the list's size.
	minChoices = 64 << 10
)

// choice is a selector that is applied here to a list of all objects, so that requests with
// different selectors share a watch. A nil choice selects all objects. A choice is immutable.
type choice struct {
	label labels.Selector
	field fields.Selector
	// text is the same for all equivalent selectors.
	text string
}

// newChoice returns the choice of a selector, or nil if the selector is not applied here. The
// caller has checked the selectors.
func newChoice(label, field string) (*choice, error) {
	c := &choice{text: label + "\x00" + field}
	var err error
	if c.label, err = labels.Parse(label); err != nil {
		return nil, fmt.Errorf("label_selector: %w", err)
	}
	if c.field, err = fields.ParseSelector(field); err != nil {
		return nil, fmt.Errorf("field_selector: %w", err)
	}
	requirements, _ := c.label.Requirements()
	if len(requirements)+len(c.field.Requirements()) > maxRequirements {
		return nil, nil
	}
	return c, nil
}

// appliesHere reports whether a field selector can be applied to the cached objects of a resource.
// Only the server knows further fields, and masks remove them. Cluster-scoped objects do not
// support the field for the namespace.
func appliesHere(field string, r *resource) bool {
	selector, err := fields.ParseSelector(field)
	if err != nil {
		return false
	}
	for _, requirement := range selector.Requirements() {
		if requirement.Field != nameField &&
			(requirement.Field != namespaceField || !r.namespaced) {
			return false
		}
	}
	return true
}

// choose returns the response with the chosen objects of a namespace, or of all namespaces if it is
// empty. Callers share the response. remembered reports whether the list has grown by this
// response.
func (l *list) choose(ctx context.Context, c *choice,
	namespace string) (response []byte, remembered bool, err error) {
	switch {
	case c == nil && namespace == "":
		return l.response, false, nil
	case c == nil:
		return l.inNamespace(namespace), false, nil
	}
	key := namespace + "\x00" + c.text
	if known := l.choices.get(key); known != nil {
		return known, false, nil
	}
	from, to := 0, len(l.spans)
	if namespace != "" {
		from, to = l.namespaceRange(inner(namespace))
	}
	response, err = l.chosen(ctx, c, from, to)
	if err != nil {
		return nil, false, err
	}
	most := max(int64(len(l.response))/4, minChoices)
	return response, l.choices.put(key, response, most), nil
}

// chosen builds the response with the chosen objects in [from, to).
func (l *list) chosen(ctx context.Context, c *choice, from, to int) ([]byte, error) {
	var chosen []int
	size := len(l.header) + len(l.footer)
	var of jsonLabels
	for n := from; n < to; n++ {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("selecting objects: %w", context.Cause(ctx))
		}
		of = l.labelsOf(n)
		if c.label.Matches(&of) && (c.field.Empty() || c.field.Matches(identified{l, n})) {
			chosen = append(chosen, n)
			size += int(l.spans[n].length) + 1
		}
	}
	response := append(make([]byte, 0, size), l.header...)
	for position, n := range chosen {
		if position > 0 {
			response = append(response, ',')
		}
		response = appendInPortions(response, l.object(n))
	}
	return append(response, l.footer...), nil
}

// choices caches the responses of a list's latest choices. The zero value is empty. It is safe for
// concurrent use.
type choices struct {
	mu        sync.Mutex
	responses map[string][]byte
	bytes     atomic.Int64
}

func (c *choices) size() int64 { return c.bytes.Load() }

func (c *choices) get(key string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.responses[key]
}

// put caches a response. If the total size would exceed the limit, it drops all other responses. It
// reports whether this call added the response.
func (c *choices) put(key string, response []byte, most int64) bool {
	bytes := int64(len(key)+cap(response)) + choiceOverhead
	if bytes > most {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.responses[key] != nil {
		return false
	}
	if c.responses == nil || c.bytes.Load()+bytes > most {
		c.responses = map[string][]byte{}
		c.bytes.Store(0)
	}
	c.responses[key] = response
	c.bytes.Add(bytes)
	return true
}

// forget drops all responses.
func (c *choices) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.responses = nil
	c.bytes.Store(0)
}

// identified provides the fields that every object has.
type identified struct {
	list *list
	n    int
}

// Has implements [fields.Fields].
func (i identified) Has(field string) bool { return field == nameField || field == namespaceField }

// Get implements [fields.Fields].
func (i identified) Get(field string) string {
	namespace, name := i.list.identity(i.list.object(i.n))
	switch field {
	case nameField:
		return outer(name)
	case namespaceField:
		return outer(namespace)
	default:
		return ""
	}
}

// outer decodes the content of a JSON string, given without its quotes.
func outer(inner []byte) string {
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var text string
	if json.Unmarshal(jsonString(inner), &text) != nil {
		return ""
	}
	return text
}

// jsonLabels is the JSON of an object from its labels on. It is empty if the object has no labels.
type jsonLabels []byte

// labelsOf returns the labels of the n-th object.
func (l *list) labelsOf(n int) jsonLabels {
	s := l.spans[n]
	if s.labels == 0 {
		return nil
	}
	return jsonLabels(l.response[s.offset+s.labels : s.offset+s.length])
}

// Has implements [labels.Labels].
func (l *jsonLabels) Has(label string) bool {
	_, has := l.find(label)
	return has
}

// Get implements [labels.Labels].
func (l *jsonLabels) Get(label string) string {
	value, _ := l.Lookup(label)
	return value
}

// Lookup implements [labels.Labels].
func (l *jsonLabels) Lookup(label string) (string, bool) {
	value, has := l.find(label)
	return outer(value), has
}

// find returns a label's value in its JSON form without quotes. No selector names a label that
// requires escapes.
func (l *jsonLabels) find(label string) (value []byte, has bool) {
	for rest := []byte(*l); len(rest) > 1 && rest[0] != '}'; {
		key := untilQuote(rest[len(`{"`):])
		rest = rest[len(`{"":"`)+len(key):]
		value = untilQuote(rest)
		rest = rest[len(value)+len(`"`):]
		if string(key) == label {
			return value, true
		}
	}
	return nil, false
}

// labels returns the offset of the labels in an object's JSON, or zero if there are none. The
// object must come from [encoder.encode], which sorts the fields.
func (e *encoder) labels(object []byte) uint32 {
	_, _, rest := e.split(object)
	for len(rest) > 0 && rest[0] == ',' {
		name := untilQuote(rest[len(`,"`):])
		value := rest[len(`,"":`)+len(name):]
		if string(name) == "labels" && areLabels(value) {
			return uint32(len(object) - len(value))
		}
		if string(name) >= "labels" {
			break
		}
		rest = afterValue(value)
	}
	return 0
}

// areLabels reports whether a JSON value is a non-empty object of strings, as labels must be.
func areLabels(value []byte) bool {
	if !bytes.HasPrefix(value, []byte(`{"`)) {
		return false
	}
	for rest := value; rest[0] != '}'; {
		rest = rest[len(`{"":`)+len(untilQuote(rest[len(`{"`):])):]
		if rest[0] != '"' {
			return false
		}
		rest = afterValue(rest)
	}
	return true
}

// afterValue returns the text after a JSON value inside an object.
func afterValue(text []byte) []byte {
	for n, depth := 0, 0; n < len(text); n++ {
		switch text[n] {
		case '"':
			n += len(untilQuote(text[n+1:])) + 1
		case '{', '[':
			depth++
		case ',':
			if depth == 0 {
				return text[n:]
			}
		case '}', ']':
			if depth == 0 {
				return text[n:]
			}
			depth--
		}
	}
	return nil
}
