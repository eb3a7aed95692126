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

package rego

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/wasm-admission/wasm-admission/pkg/abi/border"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// text is a document in parts, which are copied into the guest one after another and not
// put together before.
type text [][]byte

func (t text) size() (size int64) {
	for _, part := range t {
		size += int64(len(part))
	}
	return size
}

// equal tells whether two documents are the same. Documents do not change, so that those
// at the same address need not be compared.
func (t text) equal(other text) bool {
	return slices.EqualFunc(t, other, bytes.Equal)
}

// query evaluates the policy on data that the guest has parsed, and returns the address of
// its result set.
func query(i *engine.Instance, document text, data uint32) (result uint32, err error) {
	var input uint32 // undefined
	if document.size() > 0 {
		if input, err = parse(i, "input", document); err != nil {
			return 0, err
		}
	}
	state, err := call(i, exportNew)
	if err != nil {
		return 0, err
	}
	for _, step := range []struct {
		function string
		value    uint32
	}{{exportSetData, data}, {exportSetInput, input}, {exportSetEntrypoint, entrypoint}} {
		if _, err := call(i, step.function, state, step.value); err != nil {
			return 0, err
		}
	}
	status, err := call(i, exportEval, state)
	if err != nil {
		return 0, err
	}
	if status != 0 {
		return 0, fmt.Errorf("eval returned status %d", int32(status))
	}
	return call(i, exportGetResult, state)
}

func call(i *engine.Instance, function string, params ...uint32) (uint32, error) {
	var wide [4]uint64
	for n, param := range params {
		wide[n] = uint64(param)
	}
	result, err := i.Call(function, wide[:len(params)]...)
	return uint32(result), err
}

// parse copies a JSON document into the guest and has it make a value of it.
func parse(i *engine.Instance, what string, document text) (uint32, error) {
	size := document.size()
	start, err := call(i, exportMalloc, uint32(size))
	if err != nil {
		return 0, err
	}
	if err := write(i, what, start, document); err != nil {
		return 0, err
	}
	value, err := call(i, exportJSONParse, start, uint32(size))
	if err != nil {
		return 0, err
	}
	if value == 0 {
		return 0, fmt.Errorf("the guest cannot parse its %s", what)
	}
	return value, nil
}

func write(i *engine.Instance, what string, start uint32, document text) error {
	offset := uint64(start)
	for _, part := range document {
		if offset+uint64(len(part)) > 1<<32 || !border.Fill(i, uint32(offset), part) {
			return fmt.Errorf("%s: %d bytes at address %d are outside the guest's memory", what, document.size(), start)
		}
		offset += uint64(len(part))
	}
	return nil
}

// dump has the guest print a value as JSON.
func dump(i *engine.Instance, what string, value uint32, limit int64) ([]byte, error) {
	start, err := call(i, exportJSONDump, value)
	if err != nil {
		return nil, err
	}
	return readText(i, what, start, limit)
}

// readText copies a text that ends with a byte of zero and is at most limit bytes long.
func readText(i *engine.Instance, what string, start uint32, limit int64) ([]byte, error) {
	room := i.Usage().MemoryBytes - int64(start)
	p, ok := i.Read(start, uint32(max(0, min(room, limit+1))))
	if !ok || len(p) == 0 {
		return nil, fmt.Errorf("%s: a text at address %d is outside the guest's memory", what, start)
	}
	end := bytes.IndexByte(p, 0)
	switch {
	case end >= 0:
		return border.Clone(p[:end]), nil
	case int64(len(p)) > limit:
		return nil, &engine.LimitError{Limit: "bytes of " + what, Value: int64(len(p)), Max: limit}
	}
	return nil, fmt.Errorf("%s: a text at address %d has no end", what, start)
}
