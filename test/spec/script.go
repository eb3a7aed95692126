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

package spec

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// script is a file of wast2json (https://github.com/WebAssembly/wabt/blob/main/docs/wast2json.md).
type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type       string  `json:"type"`
	Line       int     `json:"line"`
	Name       string  `json:"name"`
	As         string  `json:"as"`
	Filename   string  `json:"filename"`
	ModuleType string  `json:"module_type"`
	Action     action  `json:"action"`
	Expected   []value `json:"expected"`
}

type action struct {
	Type   string  `json:"type"`
	Module string  `json:"module"`
	Field  string  `json:"field"`
	Args   []value `json:"args"`
}

// value is an argument or an expected result. Value is a string, or for v128 a list with one string
// per lane.
type value struct {
	Type     string          `json:"type"`
	LaneType string          `json:"lane_type"`
	Value    json.RawMessage `json:"value"`
}

func readScript(path string) (*script, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s script
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

// lanes splits a value into numbers, and returns their width in bits. A scalar has one lane.
func (v value) lanes() (texts []string, bits uint, float bool, err error) {
	kind := v.Type
	if kind == "v128" {
		kind = v.LaneType
		err = json.Unmarshal(v.Value, &texts)
	} else {
		texts = []string{""}
		if len(v.Value) > 0 {
			err = json.Unmarshal(v.Value, &texts[0])
		}
	}
	switch kind {
	case "i8":
		bits = 8
	case "i16":
		bits = 16
	case "i32", "f32":
		bits = 32
	default:
		bits = 64
	}
	return texts, bits, strings.HasPrefix(kind, "f") && kind != "funcref", err
}

// encode returns the value as wazero passes it: one word, or two for v128.
func (v value) encode() ([]uint64, error) {
	texts, bits, _, err := v.lanes()
	if err != nil {
		return nil, err
	}
	words := make([]uint64, (uint(len(texts))*bits+63)/64)
	for i, text := range texts {
		n, err := v.number(text, bits)
		if err != nil {
			return nil, err
		}
		at := uint(i) * bits
		words[at/64] |= n << (at % 64)
	}
	return words, nil
}

// number parses one lane. A reference is encoded as its number plus one, because zero is null.
func (v value) number(text string, bits uint) (uint64, error) {
	switch {
	case text == "null" || v.isReference() && text == "":
		return 0, nil
	case strings.HasPrefix(text, "-"):
		n, err := strconv.ParseInt(text, 10, 64)
		return uint64(n) & (math.MaxUint64 >> (64 - bits)), err
	}
	n, err := strconv.ParseUint(text, 10, int(bits))
	if v.isReference() {
		n++
	}
	return n, err
}

func (v value) isReference() bool { return strings.HasSuffix(v.Type, "ref") || v.Type == "refnull" }

// matches reports whether words start with the expected value, and how many words the value takes.
func (v value) matches(words []uint64) (ok bool, taken int, err error) {
	texts, bits, float, err := v.lanes()
	if err != nil {
		return false, 0, err
	}
	taken = int(uint(len(texts))*bits+63) / 64
	if len(words) < taken {
		return false, taken, nil
	}
	if v.isReference() && texts[0] == "" {
		return true, taken, nil // any reference
	}
	for i, text := range texts {
		at := uint(i) * bits
		got := words[at/64] >> (at % 64) & (math.MaxUint64 >> (64 - bits))
		if float && strings.HasPrefix(text, "nan:") {
			if !isNaN(got, bits, text == "nan:canonical") {
				return false, taken, nil
			}
			continue
		}
		expected, err := v.number(text, bits)
		if err != nil || got != expected {
			return false, taken, err
		}
	}
	return true, taken, nil
}

// isNaN reports whether got is a NaN of the given width whose highest payload bit is set. In a
// canonical NaN, no other payload bit may be set.
func isNaN(got uint64, bits uint, canonical bool) bool {
	fraction := uint(52)
	if bits == 32 {
		fraction = 23
	}
	quiet := uint64(math.MaxUint64) >> (64 - bits + 1) &^ (1<<(fraction-1) - 1)
	magnitude := got &^ (1 << (bits - 1))
	if canonical {
		return magnitude == quiet
	}
	return magnitude&quiet == quiet
}
