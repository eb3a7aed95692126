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

// encoder encodes objects of one kind as JSON for lists.
type encoder struct {
	// head is the beginning of every object's JSON, up to the first field of its metadata.
	head []byte
	// header and footer enclose the objects in the response of a list.
	header, footer []byte
	mask           mask
}

func newEncoder(r resource, m mask) *encoder {
	version, kind, listKind := quote(r.apiVersion), quote(r.kind), quote(r.kind+"List")
	return &encoder{
		head: fmt.Appendf(nil, `{"apiVersion":%s,"kind":%s,"metadata":{`, version, kind),
		header: fmt.Appendf(nil, `{"apiVersion":%s,"kind":%s,"metadata":{},"items":[`, version,
			listKind),
		footer: []byte(`]}`),
		mask:   m,
	}
}

// encode returns an object's JSON. It modifies the object.
//
// The JSON begins with the head, the namespace if there is one, and the name. Because of this
// order, [encoder.identity] can find them without parsing.
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

// buffers holds objects whose encoded size is not yet known.
var buffers = sync.Pool{New: func() any { return &bytes.Buffer{} }}

// writeFurther writes the remaining fields of an object, and its end.
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
	buffer.Bytes()[at] = ',' // replaces the opening brace
	return nil
}

// writeJSON writes JSON without the escapes for HTML: <, > and & stay as they are.
func writeJSON(buffer *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	buffer.Truncate(buffer.Len() - 1) // removes the newline
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
		return []byte(`""`) // strings can always be encoded
	}
	return quoted
}

// identity returns the namespace, which may be empty, and the name from an object's JSON, without
// quotes and still escaped. The object must come from [encoder.encode].
func (e *encoder) identity(object []byte) (namespace, name []byte) {
	namespace, name, _ = e.split(object)
	return namespace, name
}

// split returns the identity and the text after it.
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

// untilQuote returns the text before the quote that ends a string.
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
