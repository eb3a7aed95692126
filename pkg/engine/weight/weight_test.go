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

package weight_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// repeat appends each n times, followed by n times end, if given.
func repeat(n int, each []byte, end ...byte) []byte {
	var code []byte
	for range n {
		code = append(code, each...)
	}
	for range n {
		code = append(code, end...)
	}
	return code
}

// withBody returns a module with a function that does nothing, followed by one with this code,
// which the name section calls worst.
func withBody(locals int, code []byte) *wasm.Module {
	body := wasm.Body{Code: append(code, byte(wasm.OpEnd))}
	if locals > 0 {
		body.DeclareLocals(uint32(locals), wasm.ValueType{Code: wasm.I32})
	}
	return &wasm.Module{
		Types: []wasm.FuncType{{}}, Functions: []uint32{0, 0}, Memories: []wasm.Limits{{Min: 1}},
		Bodies: []wasm.Body{{Code: []byte{byte(wasm.OpEnd)}}, body},
		Custom: []wasm.CustomSection{{
			Name: wasm.NameSection, Payload: []byte{1, 8, 1, 1, 5, 'w', 'o', 'r', 's', 't'},
		}},
	}
}

func weigh(t *testing.T, m *wasm.Module) *weight.Weight {
	t.Helper()
	w, err := weight.Of(m, len(m.Encode()), 0)
	require.NoError(t, err)
	return w
}

var (
	block = []byte{byte(wasm.OpBlock), wasm.BlockTypeEmpty}
	loop  = []byte{byte(wasm.OpLoop), wasm.BlockTypeEmpty, byte(wasm.OpEnd)}
	end   = byte(wasm.OpEnd)
	nop   = []byte{byte(wasm.OpNop)}
)

// TestBounds uses 100 and 101 of everything where 100 are allowed.
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		bounds weight.Bounds
		make   func(n int) *wasm.Module
		// text is the error's description of the excess. value is the count for 101 if it differs.
		text, remedy string
	}{
		{weight.Bounds{FunctionBlocks: 100}, func(n int) *wasm.Module {
			return withBody(0, repeat(n-1, block, end))
		},
			`101 basic blocks in function 1 ("worst")`, "split the function"},
		{weight.Bounds{FunctionLoops: 100}, func(n int) *wasm.Module {
			return withBody(0, repeat(n, loop))
		},
			`101 loops in function 1 ("worst")`, "split the function"},
		{weight.Bounds{FunctionNesting: 100}, func(n int) *wasm.Module {
			return withBody(0, repeat(n, block, end))
		},
			`101 levels of nested blocks in function 1 ("worst")`, "split the function"},
		{weight.Bounds{FunctionNestedLocals: 100}, func(n int) *wasm.Module {
			return withBody(n, repeat(1, block, end))
		},
			`101 levels of nested blocks times locals in function 1 ("worst")`,
			"split the function"},
		{weight.Bounds{FunctionBytes: 100}, func(n int) *wasm.Module {
			return withBody(0, repeat(n-1, nop))
		},
			`101 bytes of body in function 1 ("worst")`, "split the function"},
		{weight.Bounds{Functions: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			for range n - 2 {
				m.Functions, m.Bodies = append(m.Functions, 0), append(m.Bodies, m.Bodies[0])
			}
			return m
		}, "101 functions", "less code"},
		{weight.Bounds{Locals: 100}, func(n int) *wasm.Module { return withBody(n, nil) },
			"101 locals in all functions", "less code"},
		{weight.Bounds{Types: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			m.Types = make([]wasm.FuncType, n)
			return m
		}, "101 types", "less code"},
		{weight.Bounds{Imports: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			m.Imports = make([]wasm.Import, n)
			return m
		}, "101 imports", "less code"},
		{weight.Bounds{Exports: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			m.Exports = make([]wasm.Export, n)
			return m
		}, "101 exports", "export less"},
		{weight.Bounds{Globals: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			for range n {
				m.Globals = append(m.Globals,
					wasm.Global{
						Type: wasm.GlobalType{Type: wasm.ValueType{Code: wasm.I32}},
						Init: wasm.I32Const(0),
					})
			}
			return m
		}, "101 globals", "less code"},
		{weight.Bounds{Tables: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			for range n {
				m.Tables = append(m.Tables,
					wasm.Table{Type: wasm.TableType{Element: wasm.ValueType{Code: wasm.FuncRef}}})
			}
			return m
		}, "101 tables", "less code"},
		{weight.Bounds{DataSegments: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			for range n {
				m.Data = append(m.Data, wasm.DataSegment{Mode: wasm.SegmentPassive})
			}
			return m
		}, "101 data segments", "merge them"},
		{weight.Bounds{ElementSegments: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			for range n {
				m.Elements = append(m.Elements,
					wasm.Element{
						Mode: wasm.SegmentPassive,
						Type: wasm.ValueType{Code: wasm.FuncRef},
					})
			}
			return m
		}, "101 element segments", "merge them"},
		{weight.Bounds{ElementEntries: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			m.Elements = []wasm.Element{{
				Mode: wasm.SegmentPassive, Type: wasm.ValueType{Code: wasm.FuncRef},
				Functions: make([]uint32, n),
			}}
			return m
		}, "101 references in element segments", "less code"},
		{weight.Bounds{CustomSections: 100}, func(n int) *wasm.Module {
			m := withBody(0, nil)
			m.Custom = append(m.Custom, make([]wasm.CustomSection, n-1)...)
			return m
		}, "101 custom sections", "strip"},
	} {
		t.Run(c.text, func(t *testing.T) {
			bounds := c.bounds.WithDefaults()
			require.NoError(t, weigh(t, c.make(100)).Check(bounds))
			err := weigh(t, c.make(101)).Check(bounds)
			require.ErrorAs(t, err, new(*weight.Error))
			require.ErrorContains(t, err, "module is too costly to compile: it has "+c.text+
				", at most 100 are allowed: ")
			require.ErrorContains(t, err, c.remedy)
		})
	}
}

// count returns the count with the given name.
func count(t *testing.T, w *weight.Weight, b weight.Bounds, name string) weight.Count {
	t.Helper()
	for _, c := range w.Counts(b) {
		if c.Name == name {
			return c
		}
	}
	require.Fail(t, "nothing is counted as "+name)
	return weight.Count{}
}

const (
	timeName   = "ms of processor time by estimate, most of them"
	memoryName = "bytes of memory by estimate, most of them"
)

// TestEstimatesAreBounded lowers the bounds below the estimate of a harmless module.
func TestEstimatesAreBounded(t *testing.T) {
	w := weigh(t, withBody(10, repeat(300, block, end)))
	for name, lower := range map[string]func(*weight.Bounds, int64){
		timeName: func(b *weight.Bounds, most int64) {
			b.Time = time.Duration(most) * time.Millisecond
		},
		memoryName: func(b *weight.Bounds, most int64) { b.Memory = most },
	} {
		estimate := count(t, w, weight.DefaultBounds, name).Value
		require.Positive(t, estimate)
		bounds := weight.DefaultBounds
		lower(&bounds, estimate)
		require.NoError(t, w.Check(bounds))
		lower(&bounds, estimate-1)
		err := w.Check(bounds)
		require.ErrorAs(t, err, new(*weight.Error))
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, `function 1 ("worst")`)
		require.ErrorContains(t, err, "split the function")
	}
}

// TestSmallModulesMayCostLess compares two modules that differ by a custom section.
func TestSmallModulesMayCostLess(t *testing.T) {
	small, large := withBody(0, nil), withBody(0, nil)
	large.Custom = append(large.Custom, wasm.CustomSection{Name: "x", Payload: make([]byte, 1<<20)})
	for name, least := range map[string]int64{timeName: 50, memoryName: 64 << 20} {
		few := count(t, weigh(t, small), weight.DefaultBounds, name).Bound
		require.InDelta(t, least, few, float64(least)/20)
		require.Greater(t, count(t, weigh(t, large), weight.DefaultBounds, name).Bound, few)
	}
	require.InDelta(t, 50+5*1024,
		count(t, weigh(t, large), weight.DefaultBounds, timeName).Bound, 10)
}

// TestEstimateGrowsAsTheCountsDo doubles the items in which the compiler's cost is quadratic. The
// estimate must grow faster than the module.
func TestEstimateGrowsAsTheCountsDo(t *testing.T) {
	branch := []byte{byte(wasm.OpI32Const), 0, 0x28, 2, 0, byte(wasm.OpBrIf), 0}
	skip := append(append(append([]byte{}, block...), branch...), end)
	for name, body := range map[string]func(n int) *wasm.Module{
		"branches in a row": func(n int) *wasm.Module { return withBody(0, repeat(n, skip)) },
		"branches out of one block": func(n int) *wasm.Module {
			return withBody(0,
				append(append(append([]byte{}, block...), repeat(n, branch)...), end))
		},
		"values on the stack": func(n int) *wasm.Module {
			code := repeat(n, []byte{byte(wasm.OpI32Const), 0})
			return withBody(0,
				append(append(code, repeat(n, skip)...), repeat(n, []byte{byte(wasm.OpDrop)})...))
		},
		"values in locals": func(n int) *wasm.Module {
			var sets, gets []byte
			for i := range n {
				sets = wasm.AppendUint32(append(sets, byte(wasm.OpI32Const), 1,
					byte(wasm.OpLocalSet)), uint32(i))
				gets = append(wasm.AppendUint32(append(gets, byte(wasm.OpLocalGet)), uint32(i)),
					byte(wasm.OpDrop))
			}
			return withBody(n, append(append(sets, repeat(n, skip)...), gets...))
		},
		"functions times types": func(n int) *wasm.Module {
			m := withBody(0, nil)
			m.Types = make([]wasm.FuncType, n)
			for range n {
				m.Functions, m.Bodies = append(m.Functions, 0), append(m.Bodies, m.Bodies[0])
			}
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := int64(0)
			for n := 2000; n <= 16_000; n *= 2 {
				estimate := count(t, weigh(t, body(n)), weight.DefaultBounds, timeName).Value
				if before > 0 {
					require.Greater(t, float64(estimate), 2.2*float64(before), "at %d", n)
				}
				before = estimate
			}
		})
	}
}

func TestBoundsAreValidated(t *testing.T) {
	require.NoError(t, weight.Bounds{}.Validate())
	require.Equal(t, weight.DefaultBounds, weight.Bounds{}.WithDefaults())
	require.ErrorContains(t, weight.Bounds{FunctionLoops: -1}.Validate(),
		"bound on loops is -1: must be positive, or 0 for the default")
}

// TestMalformedCode uses code with wrong types, which nothing has validated when a module is
// weighed.
func TestMalformedCode(t *testing.T) {
	w := weigh(t,
		withBody(1,
			repeat(1000, []byte{byte(wasm.OpDrop), byte(wasm.OpLocalSet), 0, byte(wasm.OpNop)})))
	require.NotNil(t, w)
	_, err := weight.Of(withBody(0, []byte{byte(wasm.OpLocalGet), 7}), 0, 0)
	require.ErrorContains(t, err, "function 1")
}
