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

// Package apijson encodes API objects as JSON. It writes byte for byte what encoding/json writes,
// in about a third of the time and with next to no garbage. It makes a plan for each Go type once.
// A plan handles what API types consist of and leaves everything else to encoding/json, so that the
// two cannot differ. The package uses no unsafe code.
package apijson

import (
	"encoding/json"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// maxDepth is how deeply values may nest. Deeper values, and so cycles, are left to encoding/json.
const maxDepth = 500

// Append appends to dst what [json.Marshal] returns for v, and returns the extended slice. Errors
// are those of [json.Marshal]; Append then returns dst as it was. It is safe for concurrent use as
// long as nobody changes v.
func Append(dst []byte, v any) ([]byte, error) {
	e := encoders.Get().(*encoder) //nolint:forcetypeassert // nothing else is in it
	e.out, e.depth = dst, 0
	ok := e.any(v)
	out := e.out
	e.release()
	if ok {
		return out, nil
	}
	// The value is wrong or only unusual: encoding/json decides.
	whole, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	return append(dst, whole...), nil
}

// encoder is the state of one call of Append. Its methods append to out and report success. If one
// fails, encoding/json encodes the whole value.
type encoder struct {
	out   []byte
	depth int
	// keys are the keys of the maps that are being written, the innermost map last.
	keys []string
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// maxKeptKeys bounds the keys that a kept encoder has room for, 16 bytes each.
const maxKeptKeys = 1024

// release drops everything that belongs to the value, and keeps the encoder for the next.
func (e *encoder) release() {
	e.out = nil
	if cap(e.keys) > maxKeptKeys {
		return
	}
	clear(e.keys[:cap(e.keys)])
	e.keys = e.keys[:0]
	encoders.Put(e)
}

// any writes a value of any type. Values that were decoded without a Go type, such as custom
// resources, are written without reflection.
func (e *encoder) any(v any) bool {
	switch v := v.(type) {
	case nil:
		e.null()
	case string:
		e.text(v)
	case bool:
		e.bool(v)
	case int64:
		e.int(v)
	case float64:
		return e.float(v, 64)
	case map[string]any:
		return e.object(v)
	case []any:
		return e.array(v)
	case *unstructured.Unstructured:
		if v == nil {
			e.null()
			return true
		}
		return e.object(v.Object)
	default:
		r := reflect.ValueOf(v)
		return planOf(r.Type())(e, r)
	}
	return true
}

func (e *encoder) object(m map[string]any) bool {
	if e.depth++; e.depth > maxDepth {
		return false
	}
	ok := mapOf(e, m, (*encoder).any)
	e.depth--
	return ok
}

func (e *encoder) array(list []any) bool {
	if list == nil {
		e.null()
		return true
	}
	if e.depth++; e.depth > maxDepth {
		return false
	}
	e.out = append(e.out, '[')
	for n, v := range list {
		if n > 0 {
			e.out = append(e.out, ',')
		}
		if !e.any(v) {
			return false
		}
	}
	e.out = append(e.out, ']')
	e.depth--
	return true
}

// delegate lets encoding/json write a part of a value.
func delegate(e *encoder, v reflect.Value) bool {
	var part any
	if v.CanAddr() {
		// encoding/json then finds methods of the pointer too.
		part = v.Addr().Interface()
	} else {
		part = v.Interface()
	}
	written, err := json.Marshal(part)
	e.out = append(e.out, written...)
	return err == nil
}
