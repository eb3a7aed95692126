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
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// encoder makes the JSON of the objects of one kind that guests get in lists.
type encoder struct {
	// head is how the JSON of every object begins, up to the first field of its metadata.
	head []byte
	// header and footer are what stands before and after the objects in a list's response.
	header, footer []byte
	mask           mask
}

func newEncoder(r resource, m mask) *encoder {
	version, kind, listKind := quote(r.apiVersion), quote(r.kind), quote(r.kind+"List")
	return &encoder{
		head:   fmt.Appendf(nil, `{"apiVersion":%s,"kind":%s,"metadata":{`, version, kind),
		header: fmt.Appendf(nil, `{"apiVersion":%s,"kind":%s,"metadata":{},"items":[`, version, listKind),
		footer: []byte(`]}`),
		mask:   m,
	}
}

// encode returns an object's JSON. The object is changed.
//
// It begins with the head, the namespace if there is one, and the name: in this order
// they are found again without parsing, see [encoder.identity].
func (e *encoder) encode(u *unstructured.Unstructured) ([]byte, error) {
	object := u.Object
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return nil, errors.New("the object has no metadata")
	}
	namespace, name := u.GetNamespace(), u.GetName()
	metadata["managedFields"] = []any{}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		delete(annotations, corev1.LastAppliedConfigAnnotation)
	}
	if e.mask != nil {
		e.mask.apply(object)
	}
	for _, field := range []string{"apiVersion", "kind", "metadata"} {
		delete(object, field)
	}
	delete(metadata, "namespace")
	delete(metadata, "name")

	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)
	buffer.Reset()
	buffer.Write(e.head)
	if namespace != "" {
		fmt.Fprintf(buffer, `"namespace":%s,`, quote(namespace))
	}
	fmt.Fprintf(buffer, `"name":%s`, quote(name))
	if err := writeFurther(buffer, metadata); err != nil {
		return nil, err
	}
	if err := writeFurther(buffer, object); err != nil {
		return nil, err
	}
	return bytes.Clone(buffer.Bytes()), nil
}

// buffers are what objects are encoded in before their size is known.
var buffers = sync.Pool{New: func() any { return &bytes.Buffer{} }}

// writeFurther writes the fields of an object that has begun, and its end.
func writeFurther(buffer *bytes.Buffer, fields map[string]any) error {
	at := buffer.Len()
	if err := writeJSON(buffer, fields); err != nil {
		return err
	}
	if len(fields) == 0 {
		buffer.Truncate(at)
		buffer.WriteByte('}')
		return nil
	}
	buffer.Bytes()[at] = ',' // in place of the opening brace
	return nil
}

// writeJSON writes JSON that is not made for browsers: without escapes of <, > and &.
func writeJSON(buffer *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	buffer.Truncate(buffer.Len() - 1) // the line's end
	return nil
}

// marshal returns the JSON that [writeJSON] writes.
func marshal(value any) ([]byte, error) {
	var buffer bytes.Buffer
	err := writeJSON(&buffer, value)
	return buffer.Bytes(), err
}

// quote returns a string as JSON.
func quote(s string) []byte {
	quoted, err := marshal(s)
	if err != nil {
		return []byte(`""`) // strings always have JSON
	}
	return quoted
}

// identity returns the namespace, which may be empty, and the name of an object from its
// JSON, as they stand there between the quotes. It is for what [encoder.encode] made.
func (e *encoder) identity(object []byte) (namespace, name []byte) {
	namespace, name, _ = e.split(object)
	return namespace, name
}

// split returns the identity and what stands after it.
func (e *encoder) split(object []byte) (namespace, name, rest []byte) {
	rest = object[len(e.head):]
	if after, ok := bytes.CutPrefix(rest, []byte(`"namespace":"`)); ok {
		namespace = untilQuote(after)
		rest = after[len(namespace)+len(`",`):]
	}
	rest = rest[len(`"name":"`):]
	name = untilQuote(rest)
	return namespace, name, rest[len(name)+len(`"`):]
}

// untilQuote returns what stands before the quote that ends a string.
func untilQuote(text []byte) []byte {
	for from := 0; ; {
		end := bytes.IndexByte(text[from:], '"')
		if end < 0 {
			return text
		}
		end += from
		escapes := 0
		for escapes < end && text[end-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return text[:end]
		}
		from = end + 1
	}
}
