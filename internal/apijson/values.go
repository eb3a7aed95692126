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

package apijson

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// wellKnown are frequent types with a MarshalJSON method. Their plans write the same without
// calling it, because each call would allocate.
var wellKnown = map[reflect.Type]plan{
	reflect.TypeFor[metav1.Time](): func(e *encoder, v reflect.Value) bool {
		return e.time(at[metav1.Time](v).Time, time.RFC3339)
	},
	reflect.TypeFor[metav1.MicroTime](): func(e *encoder, v reflect.Value) bool {
		return e.time(at[metav1.MicroTime](v).Time, metav1.RFC3339Micro)
	},
	reflect.TypeFor[resource.Quantity](): func(e *encoder, v reflect.Value) bool {
		return e.quantity(*at[resource.Quantity](v))
	},
	reflect.TypeFor[intstr.IntOrString](): func(e *encoder, v reflect.Value) bool {
		return e.intOrString(at[intstr.IntOrString](v))
	},
	reflect.TypeFor[corev1.ResourceList](): func(e *encoder, v reflect.Value) bool {
		list, _ := reflect.TypeAssert[corev1.ResourceList](v)
		return mapOf(e, list, (*encoder).quantity)
	},
	reflect.TypeFor[map[string]string](): func(e *encoder, v reflect.Value) bool {
		texts, _ := reflect.TypeAssert[map[string]string](v)
		return mapOf(e, texts, func(e *encoder, s string) bool { e.text(s); return true })
	},
	reflect.TypeFor[map[string][]byte](): func(e *encoder, v reflect.Value) bool {
		data, _ := reflect.TypeAssert[map[string][]byte](v)
		return mapOf(e, data, func(e *encoder, b []byte) bool { e.bytes(b); return true })
	},
}

// at returns the address of a value, or of a copy if the value has none.
func at[T any](v reflect.Value) *T {
	if v.CanAddr() {
		p, _ := reflect.TypeAssert[*T](v.Addr())
		return p
	}
	value, _ := reflect.TypeAssert[T](v)
	return &value
}

func (e *encoder) time(t time.Time, layout string) bool {
	if t.IsZero() {
		e.null()
		return true
	}
	e.out = append(e.out, '"')
	e.out = t.UTC().AppendFormat(e.out, layout)
	e.out = append(e.out, '"')
	return true
}

// quantity writes the text of a quantity, unless that needs escapes. It takes a copy, because
// String caches its result in the quantity.
func (e *encoder) quantity(q resource.Quantity) bool {
	text := q.String()
	for n := range len(text) {
		if !plain[text[n]] {
			return false
		}
	}
	e.text(text)
	return true
}

func (e *encoder) intOrString(v *intstr.IntOrString) bool {
	switch v.Type {
	case intstr.Int:
		e.int(int64(v.IntVal))
	case intstr.String:
		e.text(v.StrVal)
	default:
		return false
	}
	return true
}

// marshaled writes a value by its MarshalJSON method. The method has a value receiver, so it makes
// no difference whether the value has an address.
func marshaled(e *encoder, v reflect.Value) bool {
	var m json.Marshaler
	if v.CanAddr() {
		m, _ = reflect.TypeAssert[json.Marshaler](v.Addr())
	} else {
		m, _ = reflect.TypeAssert[json.Marshaler](v)
	}
	written, err := m.MarshalJSON()
	return err == nil && e.compact(written)
}

// pointerTo returns the plan of pointers to values of a plan.
func pointerTo(element plan) plan {
	return func(e *encoder, v reflect.Value) bool {
		if v.IsNil() {
			e.null()
			return true
		}
		if e.depth++; e.depth > maxDepth {
			return false
		}
		ok := element(e, v.Elem())
		e.depth--
		return ok
	}
}

// inside writes the value in an interface.
func inside(e *encoder, v reflect.Value) bool {
	if v.IsNil() {
		e.null()
		return true
	}
	return e.any(v.Elem().Interface())
}

func planOfSlice(t reflect.Type) plan {
	if t.Elem().Kind() == reflect.Uint8 {
		if p := reflect.PointerTo(t.Elem()); !p.Implements(marshaler) &&
			!p.Implements(textMarshaler) {
			return func(e *encoder, v reflect.Value) bool { e.bytes(v.Bytes()); return true }
		}
	}
	element := planOf(t.Elem())
	return func(e *encoder, v reflect.Value) bool {
		if v.IsNil() {
			e.null()
			return true
		}
		if e.depth++; e.depth > maxDepth {
			return false
		}
		e.out = append(e.out, '[')
		for n := range v.Len() {
			if n > 0 {
				e.out = append(e.out, ',')
			}
			if !element(e, v.Index(n)) {
				return false
			}
		}
		e.out = append(e.out, ']')
		e.depth--
		return true
	}
}

func planOfMap(t reflect.Type) plan {
	if t.Key().Kind() != reflect.String {
		return delegate
	}
	element := planOf(t.Elem())
	return func(e *encoder, v reflect.Value) bool {
		if v.IsNil() {
			e.null()
			return true
		}
		if e.depth++; e.depth > maxDepth {
			return false
		}
		type entry struct {
			key   string
			value reflect.Value
		}
		entries := make([]entry, 0, v.Len())
		for i := v.MapRange(); i.Next(); {
			entries = append(entries, entry{i.Key().String(), i.Value()})
		}
		slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
		e.out = append(e.out, '{')
		for n, entry := range entries {
			e.key(n, entry.key)
			if !element(e, entry.value) {
				return false
			}
		}
		e.out = append(e.out, '}')
		e.depth--
		return true
	}
}

// mapOf writes a map without reflection.
func mapOf[K ~string, V any](e *encoder, m map[K]V, element func(*encoder, V) bool) bool {
	if m == nil {
		e.null()
		return true
	}
	e.out = append(e.out, '{')
	first := len(e.keys)
	for key := range m {
		e.keys = append(e.keys, string(key))
	}
	// Inner maps append to e.keys and may move it. This slice stays valid.
	keys := e.keys[first:]
	slices.Sort(keys)
	for n, key := range keys {
		e.key(n, key)
		if !element(e, m[K(key)]) {
			return false
		}
	}
	e.keys = e.keys[:first]
	e.out = append(e.out, '}')
	return true
}

func (e *encoder) bytes(b []byte) {
	if b == nil {
		e.null()
		return
	}
	e.out = append(e.out, '"')
	e.out = base64.StdEncoding.AppendEncode(e.out, b)
	e.out = append(e.out, '"')
}
