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

// Package jsonpatch compares JSON values of any size and origin, and computes the patch from one to
// the other.
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

// Decode decodes a value and keeps its numbers as written. An empty text decodes to null.
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

// Operation is an operation of a JSON patch (RFC 6902).
type Operation struct {
	// Op is "add", "remove" or "replace".
	Op string `json:"op"`
	// Path is a JSON pointer (RFC 6901).
	Path string `json:"path"`
	// Value is the added or replacing value.
	Value json.RawMessage `json:"value,omitempty"`
}

// ErrTooLarge says that a patch exceeds its size limit.
var ErrTooLarge = errors.New("the patch is too large")

// diff is a JSON patch under construction. Its values come from a guest, so its size is counted
// while it grows. Paths repeat names, so a patch can be thousands of times larger than the objects
// it compares. For the same reason, a path is only written where values differ, and not for each
// compared value.
type diff struct {
	operations []Operation
	room       int
	path       []step
}

// step leads from a value to one of its members by name, or to one of its elements by position.
type step struct {
	name     string
	position int
	inArray  bool
}

// Diff returns a patch that turns one value into the other. If the patch grows beyond about limit
// bytes, it returns [ErrTooLarge]. Arrays are compared position by position.
func Diff(before, after any, limit int) ([]Operation, error) {
	d := &diff{room: limit}
	if err := d.values(before, after); err != nil {
		return nil, err
	}
	return d.operations, nil
}

func (d *diff) values(before, after any) error {
	switch was := before.(type) {
	case map[string]any:
		if is, ok := after.(map[string]any); ok {
			return d.objects(was, is)
		}
	case []any:
		if is, ok := after.([]any); ok {
			return d.arrays(was, is)
		}
	}
	if Equal(before, after) {
		return nil
	}
	return d.add("replace", after)
}

func (d *diff) objects(before, after map[string]any) error {
	for _, name := range sortedNames(before, after) {
		was, had := before[name]
		is, has := after[name]
		err := d.at(step{name: name}, func() error {
			switch {
			case !has:
				return d.add("remove", nil)
			case !had:
				return d.add("add", is)
			}
			return d.values(was, is)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *diff) arrays(before, after []any) error {
	both := min(len(before), len(after))
	for n := range both {
		err := d.at(element(n), func() error { return d.values(before[n], after[n]) })
		if err != nil {
			return err
		}
	}
	for n := len(before) - 1; n >= both; n-- {
		if err := d.at(element(n), func() error { return d.add("remove", nil) }); err != nil {
			return err
		}
	}
	for n := both; n < len(after); n++ {
		if err := d.at(element(n), func() error { return d.add("add", after[n]) }); err != nil {
			return err
		}
	}
	return nil
}

func element(n int) step { return step{position: n, inArray: true} }

// at calls do for a value one step further down.
func (d *diff) at(s step, do func() error) error {
	d.path = append(d.path, s)
	err := do()
	d.path = d.path[:len(d.path)-1]
	return err
}

// pointer returns the path, if there is room for it.
func (d *diff) pointer() (string, error) {
	var path strings.Builder
	for _, s := range d.path {
		if path.Len()+len(s.name) > d.room {
			return "", ErrTooLarge
		}
		path.WriteByte('/')
		if s.inArray {
			path.WriteString(strconv.Itoa(s.position))
		} else {
			path.WriteString(escapePointer.Replace(s.name))
		}
	}
	return path.String(), nil
}

// add adds an operation. An operation that removes a value has no value.
func (d *diff) add(op string, value any) error {
	path, err := d.pointer()
	if err != nil {
		return err
	}
	o := Operation{Op: op, Path: path}
	if op != "remove" {
		if o.Value, err = json.Marshal(value); err != nil {
			return err
		}
	}
	if d.room -= len(`{"op":"","path":"","value":},`) + len(op) + len(path) +
		len(o.Value); d.room < 0 {
		return ErrTooLarge
	}
	d.operations = append(d.operations, o)
	return nil
}

// escapePointer escapes a name for a JSON pointer (RFC 6901).
var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// sortedNames returns the names of both objects without duplicates.
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
