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

// Package jsonpatch compares values of JSON, of any size and from anybody, and says what
// leads from one to the other.
package jsonpatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Decode reads a value and keeps its numbers as they are written. Nothing at all is
// null.
func Decode(data []byte) (value any, err error) {
	if len(data) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return value, nil
}

// Equal is whether two values that Decode read mean the same.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, value := range a {
			if other, found := b[name]; !found || !Equal(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, Equal)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	default:
		return a == b
	}
}

// sameNumber tells integers apart that are too large for a float64.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	m, errM := a.Int64()
	n, errN := b.Int64()
	if errM == nil && errN == nil {
		return m == n
	}
	x, errX := a.Float64()
	y, errY := b.Float64()
	return errX == nil && errY == nil && x == y
}

// Operation is one of a JSON patch (RFC 6902).
type Operation struct {
	// Op is "add", "remove" or "replace".
	Op string `json:"op"`
	// Path is a JSON pointer (RFC 6901).
	Path string `json:"path"`
	// Value is what is added or put in place of what there is.
	Value json.RawMessage `json:"value,omitempty"`
}

// ErrTooLarge says that a patch was given up.
var ErrTooLarge = errors.New("the patch is too large")

// diff is a JSON patch in the making. What it is made of comes from a guest, so its size
// is counted while it grows: paths repeat names, and so a patch can be thousands of times
// larger than the objects that it leads from and to.
type diff struct {
	operations []Operation
	room       int
}

// Diff returns a patch that makes one value of the other, of at most limit bytes or
// a little more. Arrays are compared position by position.
func Diff(before, after any, limit int) ([]Operation, error) {
	d := &diff{room: limit}
	if err := d.values("", before, after); err != nil {
		return nil, err
	}
	return d.operations, nil
}

func (d *diff) values(path string, before, after any) error {
	switch was := before.(type) {
	case map[string]any:
		if is, ok := after.(map[string]any); ok {
			return d.objects(path, was, is)
		}
	case []any:
		if is, ok := after.([]any); ok {
			return d.arrays(path, was, is)
		}
	}
	if Equal(before, after) {
		return nil
	}
	return d.add("replace", path, after)
}

func (d *diff) objects(path string, before, after map[string]any) error {
	for _, name := range sortedNames(before, after) {
		was, had := before[name]
		is, has := after[name]
		at := path + "/" + escapePointer.Replace(name)
		var err error
		switch {
		case !has:
			err = d.add("remove", at, nil)
		case !had:
			err = d.add("add", at, is)
		default:
			err = d.values(at, was, is)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *diff) arrays(path string, before, after []any) error {
	both := min(len(before), len(after))
	for n := range both {
		if err := d.values(path+"/"+strconv.Itoa(n), before[n], after[n]); err != nil {
			return err
		}
	}
	for n := len(before) - 1; n >= both; n-- {
		if err := d.add("remove", path+"/"+strconv.Itoa(n), nil); err != nil {
			return err
		}
	}
	for n := both; n < len(after); n++ {
		if err := d.add("add", path+"/"+strconv.Itoa(n), after[n]); err != nil {
			return err
		}
	}
	return nil
}

// add adds an operation; those that remove something have no value.
func (d *diff) add(op, path string, value any) error {
	o := Operation{Op: op, Path: path}
	if op != "remove" {
		var err error
		if o.Value, err = json.Marshal(value); err != nil {
			return err
		}
	}
	if d.room -= len(`{"op":"","path":"","value":},`) + len(op) + len(path) + len(o.Value); d.room < 0 {
		return ErrTooLarge
	}
	d.operations = append(d.operations, o)
	return nil
}

// escapePointer escapes a name for a JSON pointer (RFC 6901).
var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// sortedNames returns the names of both objects, each once.
func sortedNames(a, b map[string]any) []string {
	names := make([]string, 0, len(a)+len(b))
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, found := a[name]; !found {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
