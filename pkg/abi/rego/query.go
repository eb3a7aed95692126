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

	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// text is a document in parts. The host copies the parts into the guest one after another, without
// joining them first.
type text [][]byte

func (t text) size() (size int64) {
	for _, part := range t {
		size += int64(len(part))
	}
	return size
}

// equal reports whether two documents are equal. Documents never change, so those at the same
// address need no comparison.
func (t text) equal(other text) bool {
	return slices.EqualFunc(t, other, bytes.Equal)
}

// query evaluates the policy on data that the guest has parsed. It returns the address of the
// result set.
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

// parse copies a JSON document into the guest, and has the guest parse it.
func parse(i *engine.Instance, what string, document text) (uint32, error) {
	size := document.size()
	start, err := call(i, exportMalloc, uint32(size))
	if err != nil {
		return 0, err
	}
	if err := guestio.Fill(i, what, start, document...); err != nil {
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

// dump has the guest print a value as JSON.
func dump(i *engine.Instance, what string, value uint32, limit int64) ([]byte, error) {
	start, err := call(i, exportJSONDump, value)
	if err != nil {
		return nil, err
	}
	return guestio.Text(i, what, start, limit)
}
