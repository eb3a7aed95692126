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

package main

import (
	"strconv"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// shape makes modules with many of one construct. Their number grows with n.
type shape struct {
	name string
	make func(n int) *wasm.Module
}

// shapes has one or more shapes for each construct that the compiler's cost depends on. A shape
// whose name is a product has many of two constructs.
var shapes = []shape{
	{"straight code", func(n int) *wasm.Module { return module(1, 1, code{}.times(n, addition)) }},
	{"loads", func(n int) *wasm.Module {
		return module(1, 0,
			code{}.times(n, func(c code, i int) code { return c.load(4 * i).op(wasm.OpDrop) }))
	}},
	{"stores of divisions", func(n int) *wasm.Module {
		return module(1, 0, code{}.times(n, func(c code, i int) code {
			return append(c.i32(0).load(i).load(i+4).op(0x6d), 0x36, 2, 0)
		}))
	}},
	{"vectors", func(n int) *wasm.Module {
		return module(1, 0, code{}.times(n, func(c code, i int) code {
			c = append(append(c.load(i), 0xfd, 0x11).load(i+8), 0xfd, 0x11)
			return append(c, 0xfd, 0x6e).op(wasm.OpDrop)
		}))
	}},
	{"bulk operations", func(n int) *wasm.Module {
		return module(1, 0, code{}.times(n, func(c code, i int) code {
			return append(c.i32(0).i32(0).i32(i), 0xfc, 11, 0)
		}))
	}},
	{"branches in a row", func(n int) *wasm.Module { return module(1, 0, skips(n)) }},
	{"branches in a row, in 64 functions", func(n int) *wasm.Module {
		return module(64, 0, skips(n))
	}},
	{"branches out of one block", func(n int) *wasm.Module { return module(1, 1, chain(n).end()) }},
	{"branches and reads of locals", func(n int) *wasm.Module {
		return module(1, 1,
			chain(n).times(n, func(c code, _ int) code {
				return c.index(wasm.OpLocalGet, 0).op(wasm.OpDrop)
			}).end())
	}},
	{"branches and reads of memory", func(n int) *wasm.Module {
		return module(1, 1,
			chain(n).times(n, func(c code, i int) code { return c.load(i).op(wasm.OpDrop) }).end())
	}},
	{"branches and reads of locals, in 64 functions", func(n int) *wasm.Module {
		return module(64, 1,
			chain(n).times(n, func(c code, _ int) code {
				return c.index(wasm.OpLocalGet, 0).op(wasm.OpDrop)
			}).end())
	}},
	{"nested blocks", func(n int) *wasm.Module {
		return module(1, 1, code{}.times(n, func(c code, i int) code {
			return c.open(wasm.OpBlock).index(wasm.OpLocalGet, 0).index(wasm.OpBrIf, i)
		}).times(n, ends))
	}},
	{"nested blocks times locals", func(n int) *wasm.Module {
		return nestedTimesLocals(wasm.OpBlock, n, n)
	}},
	{"nested loops", func(n int) *wasm.Module { return nestedTimesLocals(wasm.OpLoop, n, 1) }},
	{"nested loops times locals", func(n int) *wasm.Module {
		return nestedTimesLocals(wasm.OpLoop, n, n)
	}},
	{"few nested loops times locals", func(n int) *wasm.Module {
		return nestedTimesLocals(wasm.OpLoop, 8, n)
	}},
	{"nested conditions", func(n int) *wasm.Module {
		return module(1, 1, code{}.times(n, func(c code, _ int) code {
			return c.load(0).open(wasm.OpIf).load(4).index(wasm.OpLocalSet, 0)
		}).times(n, ends))
	}},
	{"loops in a row", func(n int) *wasm.Module {
		return module(1, 1, code{}.times(n, func(c code, _ int) code {
			return c.open(wasm.OpLoop).load(0).index(wasm.OpLocalTee, 0).index(wasm.OpBrIf, 0).end()
		}))
	}},
	{"table of branches", func(n int) *wasm.Module { return module(1, 0, table(n, 1).end()) }},
	{"tables of branches", func(n int) *wasm.Module {
		return module(1, 0,
			code{}.times(n, func(c code, _ int) code {
				return append(c, table(64, 4).times(4, ends)...)
			}))
	}},
	{"values times tables of branches", func(n int) *wasm.Module {
		c := code{}.typed(wasm.OpBlock, 1).times(n, func(c code, i int) code {
			return c.load(4 * i)
		}).load(0)
		c = wasm.AppendUint32(c.op(wasm.OpBrTable), uint32(n))
		c = append(c, make([]byte, n+1)...).end()
		return module(1, 0, c.times(n, drops), wasm.FuncType{Results: i32s(n)})
	}},
	{"values on the stack times branches", func(n int) *wasm.Module {
		c := code{}.times(n, func(c code, i int) code { return c.load(4 * i) })
		return module(1, 0, append(c, skips(n)...).times(n, drops))
	}},
	{"values in locals times branches", func(n int) *wasm.Module {
		return module(1, n, alive(n, n))
	}},
	{"values in locals times branches, in 64 functions", func(n int) *wasm.Module {
		return module(64, n, alive(n, n))
	}},
	{"values in few locals times branches", func(n int) *wasm.Module {
		return module(1, 50, alive(50, n))
	}},
	{"locals that differ times branches", func(n int) *wasm.Module {
		return module(1, n, differ(n, n))
	}},
	{"locals that differ times branches, in 64 functions", func(n int) *wasm.Module {
		return module(64, n, differ(n, n))
	}},
	{"few locals that differ times branches", func(n int) *wasm.Module {
		return module(1, 30, differ(30, n))
	}},
	{"locals never set times branches", func(n int) *wasm.Module {
		return module(1, n,
			skips(n).times(n, func(c code, i int) code {
				return c.index(wasm.OpLocalGet, i).op(wasm.OpDrop)
			}))
	}},
	{"values across calls", func(n int) *wasm.Module {
		c := code{}.times(n, func(c code, i int) code {
			return c.load(4*i).index(wasm.OpLocalSet, i)
		})
		c = c.times(n, func(c code, i int) code {
			return c.index(wasm.OpCall, 0).index(wasm.OpLocalGet, i).op(wasm.OpDrop)
		})
		return module(1, n, c)
	}},
	{"calls with parameters", func(n int) *wasm.Module {
		c := code{}.times(n, func(c code, _ int) code {
			return c.times(500, func(c code, _ int) code { return c.index(wasm.OpLocalGet, 0) }).
				index(wasm.OpCall, 1).times(500, drops)
		})
		m := module(1, 1, c, wasm.FuncType{Params: i32s(500), Results: i32s(500)})
		m.Functions = append(m.Functions, 1)
		m.Bodies = append(m.Bodies, wasm.Body{
			Code: code{}.times(500, func(c code, i int) code {
				return c.index(wasm.OpLocalGet, i)
			}).end(),
		})
		return m
	}},
	{"calls that return much", func(n int) *wasm.Module {
		m := module(1, 0, code{}.times(n, func(c code, _ int) code {
			return c.index(wasm.OpCall, 1).open(wasm.OpBlock).index(wasm.OpBr, 1).end()
		}).op(wasm.OpUnreachable), wasm.FuncType{Results: i32s(1000)})
		m.Functions = append(m.Functions, 1)
		m.Bodies = append(m.Bodies, wasm.Body{Code: code{}.op(wasm.OpUnreachable).end()})
		return m
	}},
	{"functions", func(n int) *wasm.Module { return module(n, 0, code{}) }},
	{"functions with locals", func(n int) *wasm.Module { return module(n, 20_000, code{}) }},
	{"functions times types", func(n int) *wasm.Module {
		return module(n, 0, code{}, make([]wasm.FuncType, n)...)
	}},
	{"functions times globals", func(n int) *wasm.Module {
		return withGlobals(module(n, 0, code{}), n)
	}},
	{"functions times imports", func(n int) *wasm.Module {
		return withImports(module(n, 0, code{}), n)
	}},
	{"calls times globals", func(n int) *wasm.Module {
		return withGlobals(module(1, 0,
			code{}.times(n, func(c code, _ int) code { return c.index(wasm.OpCall, 0) })), n)
	}},
	{"calls times imports", func(n int) *wasm.Module {
		return withImports(module(1, 0,
			code{}.times(n, func(c code, _ int) code { return c.index(wasm.OpCall, n-1) })), n)
	}},
	{"types with parameters", func(n int) *wasm.Module {
		further := make([]wasm.FuncType, n)
		for i := range further {
			further[i] = wasm.FuncType{Params: i32s(i % 900), Results: i32s(i / 900 % 900)}
		}
		return module(1, 0, code{}, further...)
	}},
	{"exports", func(n int) *wasm.Module {
		m := module(1, 0, code{})
		for i := range n {
			m.Exports = append(m.Exports,
				wasm.Export{Name: strconv.Itoa(i), Kind: wasm.ExternFunction})
		}
		return m
	}},
	{"custom sections", func(n int) *wasm.Module {
		m := module(1, 0, code{})
		m.Custom = make([]wasm.CustomSection, n)
		return m
	}},
	{"data segments", func(n int) *wasm.Module {
		m := module(1, 0, append(code{}.i32(0).i32(0).i32(0), 0xfc, 8, 0, 0))
		m.Data = make([]wasm.DataSegment, n)
		for i := range m.Data {
			m.Data[i] = wasm.DataSegment{Offset: wasm.I32Const(0), Bytes: []byte{1}}
		}
		count := uint32(n)
		m.DataCount = &count
		return m
	}},
	{"element segments", func(n int) *wasm.Module {
		m := module(1, 0, code{})
		for range n {
			m.Elements = append(m.Elements, wasm.Element{
				Mode:      wasm.SegmentPassive,
				Type:      wasm.ValueType{Code: wasm.FuncRef},
				Functions: make([]uint32, 2),
			})
		}
		return m
	}},
	{"references in a segment", func(n int) *wasm.Module {
		m := module(1, 0, code{})
		m.Elements = []wasm.Element{{
			Mode: wasm.SegmentPassive, Type: wasm.ValueType{Code: wasm.FuncRef},
			Functions: make([]uint32, n),
		}}
		return m
	}},
}

func addition(c code, i int) code {
	return c.index(wasm.OpLocalGet, 0).i32(i).op(wasm.OpI32Add).index(wasm.OpLocalSet, 0)
}

func ends(c code, _ int) code { return c.end() }

func drops(c code, _ int) code { return c.op(wasm.OpDrop) }

// skips returns n consecutive blocks. Each is left by a branch or at its end.
func skips(n int) code {
	return code{}.times(n, func(c code, i int) code {
		return c.open(wasm.OpBlock).load(i).index(wasm.OpBrIf, 0).end()
	})
}

// chain opens a block that n branches may leave. Each branch is reachable only through the previous
// one.
func chain(n int) code {
	return code{}.open(wasm.OpBlock).times(n, func(c code, i int) code {
		return c.load(i).index(wasm.OpBrIf, 0)
	})
}

// table returns a table of n branches inside the given number of blocks. One block stays open.
func table(n, blocks int) code {
	c := wasm.AppendUint32(code{}.times(blocks, func(c code, _ int) code {
		return c.open(wasm.OpBlock)
	}).load(0).op(wasm.OpBrTable), uint32(n))
	for i := range n + 1 {
		c = append(c, byte(i%blocks))
	}
	return c
}

// alive sets locals, has n branches, and reads the locals.
func alive(locals, n int) code {
	c := code{}.times(locals, func(c code, i int) code {
		return c.load(4*i).index(wasm.OpLocalSet, i)
	})
	return append(c, skips(n)...).times(locals, func(c code, i int) code {
		return c.index(wasm.OpLocalGet, i).op(wasm.OpDrop)
	})
}

// differ sets one local after another in one of two ways, and finally reads all of them.
func differ(locals, n int) code {
	c := code{}.times(n, func(c code, i int) code {
		return c.load(i).open(wasm.OpIf).load(4*i).index(wasm.OpLocalSet, i%locals).end()
	})
	return c.times(locals, func(c code, i int) code {
		return append(c.i32(0).index(wasm.OpLocalGet, i), 0x36, 2, 0)
	})
}

func nestedTimesLocals(op wasm.Opcode, nesting, locals int) *wasm.Module {
	c := code{}.times(nesting, func(c code, _ int) code { return c.open(op) })
	c = c.times(locals, func(c code, i int) code {
		return c.index(wasm.OpLocalGet, i).i32(1).op(wasm.OpI32Add).index(wasm.OpLocalSet, i)
	})
	return module(1, locals,
		c.times(nesting, func(c code, i int) code { return c.load(i).index(wasm.OpBrIf, 0).end() }))
}

func withGlobals(m *wasm.Module, n int) *wasm.Module {
	for range n {
		m.Globals = append(m.Globals,
			wasm.Global{
				Type: wasm.GlobalType{Type: wasm.ValueType{Code: wasm.I32}, Mutable: true},
				Init: wasm.I32Const(0),
			})
	}
	return m
}

// withImports adds n imported functions, which renumbers all other functions.
func withImports(m *wasm.Module, n int) *wasm.Module {
	for i := range n {
		m.Imports = append(m.Imports,
			wasm.Import{Module: "a", Name: strconv.Itoa(i), Kind: wasm.ExternFunction})
	}
	m.Exports[0].Index = uint32(n)
	return m
}
