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
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"unicode"
)

// plan writes the values of a type.
type plan func(*encoder, reflect.Value) bool

var plans sync.Map // of reflect.Type to plan

// planOf returns the plan of a type, and makes it the first time. While the plan of a recursive
// type is being made, the type finds a placeholder that calls the plan later.
func planOf(t reflect.Type) plan {
	if p, made := plans.Load(t); made {
		return p.(plan) //nolint:forcetypeassert // nothing else is in it
	}
	made := sync.OnceValue(func() plan { return makePlan(t) })
	p, begun := plans.LoadOrStore(t,
		plan(func(e *encoder, v reflect.Value) bool { return made()(e, v) }))
	if begun {
		return p.(plan) //nolint:forcetypeassert // nothing else is in it
	}
	plans.Store(t, made())
	return made()
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	number        = reflect.TypeFor[json.Number]()
	zeroer        = reflect.TypeFor[interface{ IsZero() bool }]()
)

// makePlan distinguishes types in the same order as encoding/json.
func makePlan(t reflect.Type) plan {
	pointer := t.Kind() == reflect.Pointer
	switch {
	case wellKnown[t] != nil:
		return wellKnown[t]
	case pointer && wellKnown[t.Elem()] != nil:
		return pointerTo(wellKnown[t.Elem()])
	case !pointer && t.Kind() != reflect.Interface && t.Implements(marshaler):
		return marshaled
	case pointer && t.Elem().Kind() != reflect.Interface && t.Elem().Kind() != reflect.Pointer &&
		t.Elem().Implements(marshaler):
		return pointerTo(marshaled)
	case reflect.PointerTo(t).Implements(marshaler), t.Implements(marshaler),
		reflect.PointerTo(t).Implements(textMarshaler), t.Implements(textMarshaler), t == number:
		return delegate
	}
	return planOfKind(t)
}

func planOfKind(t reflect.Type) plan {
	switch t.Kind() {
	case reflect.Bool:
		return func(e *encoder, v reflect.Value) bool { e.bool(v.Bool()); return true }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(e *encoder, v reflect.Value) bool { e.int(v.Int()); return true }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Uintptr:
		return func(e *encoder, v reflect.Value) bool { e.uint(v.Uint()); return true }
	case reflect.Float32, reflect.Float64:
		bits := t.Bits()
		return func(e *encoder, v reflect.Value) bool { return e.float(v.Float(), bits) }
	case reflect.String:
		return func(e *encoder, v reflect.Value) bool { e.text(v.String()); return true }
	case reflect.Interface:
		return inside
	case reflect.Pointer:
		return pointerTo(planOf(t.Elem()))
	case reflect.Slice:
		return planOfSlice(t)
	case reflect.Map:
		return planOfMap(t)
	case reflect.Struct:
		return planOfStruct(t)
	default:
		return delegate
	}
}

// field is a field of a struct, or of a struct that is embedded in it.
type field struct {
	// index leads to the field. Name is its name as it is written, with quotes and colon.
	index []int
	name  string
	// omitted reports whether to leave a value out; nil leaves none out.
	omitted func(reflect.Value) bool
	plan    plan
}

func planOfStruct(t reflect.Type) plan {
	fields, usual := fieldsOf(t, nil, map[string]bool{})
	if !usual {
		return delegate
	}
	return func(e *encoder, v reflect.Value) bool {
		next := byte('{')
		for n := range fields {
			f := &fields[n]
			value := v
			for _, index := range f.index {
				value = value.Field(index)
			}
			if f.omitted != nil && f.omitted(value) {
				continue
			}
			e.out = append(e.out, next)
			e.out = append(e.out, f.name...)
			next = ','
			if !f.plan(e, value) {
				return false
			}
		}
		if next == '{' {
			e.out = append(e.out, '{')
		}
		e.out = append(e.out, '}')
		return true
	}
}

// fieldsOf returns the fields of a struct in the order in which they are written. It reports
// whether the struct is usual: each name is unique, so that no field hides another, only structs
// are embedded, and no field has the option string.
func fieldsOf(t reflect.Type, way []int, names map[string]bool) (fields []field, usual bool) {
	for n := range t.NumField() {
		f := t.Field(n)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		index := append(way[:len(way):len(way)], n)
		switch {
		case f.Anonymous &&
			(f.Type.Kind() != reflect.Struct || name != "" &&
				(!validName(name) || !f.IsExported())):
			return nil, false
		case f.Anonymous && name == "":
			embedded, usual := fieldsOf(f.Type, index, names)
			if !usual {
				return nil, false
			}
			fields = append(fields, embedded...)
			continue
		case !f.IsExported():
			continue
		}
		if !validName(name) {
			name = f.Name
		}
		if names[name] {
			return nil, false
		}
		names[name] = true
		omitted, usual := omission(f.Type, strings.Split(options, ","))
		if !usual {
			return nil, false
		}
		var written encoder
		written.text(name)
		fields = append(fields, field{
			index:   index,
			name:    string(written.out) + ":",
			omitted: omitted,
			plan:    planOf(f.Type),
		})
	}
	return fields, true
}

// omission returns a function that reports whether to leave a value of a field out, and whether the
// field's options are usual.
func omission(t reflect.Type, options []string) (omitted func(reflect.Value) bool, usual bool) {
	var empty, zero func(reflect.Value) bool
	for _, option := range options {
		switch option {
		case "string":
			return nil, false
		case "omitempty":
			empty = emptiness(t)
		case "omitzero":
			kind := t.Kind()
			switch {
			case (kind == reflect.Pointer || kind == reflect.Interface) && t.Implements(zeroer):
				return nil, false
			case reflect.PointerTo(t).Implements(zeroer):
				zero = saysZero
			default:
				zero = reflect.Value.IsZero
			}
		}
	}
	switch {
	case empty != nil && zero != nil:
		return func(v reflect.Value) bool { return empty(v) || zero(v) }, true
	case empty != nil:
		return empty, true
	}
	return zero, true
}

// emptiness returns what omitempty means for a type, or nil if no value of the type is empty.
func emptiness(t reflect.Type) func(reflect.Value) bool {
	switch t.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return func(v reflect.Value) bool { return v.Len() == 0 }
	case reflect.Pointer, reflect.Interface:
		return reflect.Value.IsNil
	case reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Uintptr:
		return reflect.Value.IsZero
	}
	return nil
}

// saysZero calls the IsZero method of a value.
func saysZero(v reflect.Value) bool {
	if !v.CanAddr() {
		// Here encoding/json uses methods of the pointer even for values without an address.
		addressable := reflect.New(v.Type()).Elem()
		addressable.Set(v)
		v = addressable
	}
	return v.Addr().Interface().(interface{ IsZero() bool }).IsZero() //nolint:forcetypeassert // its plan was made for that
}

// validName reports whether a tag may name a field so.
func validName(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) &&
			!unicode.IsDigit(c) {
			return false
		}
	}
	return name != ""
}
