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

package memory

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// section, vector, and entry assemble the binary format (WebAssembly core specification, chapter
// 5). All lengths here are below 128, so each fits one byte.
func section(id byte, items ...[]byte) []byte {
	body := vector(items...)
	return append([]byte{id, byte(len(body))}, body...)
}

func vector(items ...[]byte) []byte {
	return append([]byte{byte(len(items))}, slices.Concat(items...)...)
}

func name(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func exported(s string, kind, index byte) []byte { return append(name(s), kind, index) }

func function(code ...byte) []byte {
	return append([]byte{byte(len(code) + 2), 0}, append(code, 0x0b)...)
}

var preamble = []byte("\x00asm\x01\x00\x00\x00")

// dataAt1 is an active data segment: content at address 1.
var dataAt1 = append([]byte{0, 0x41, 1, 0x0b}, name("data")...)

// memoryModule defines and exports a memory, as the host does for guests that import theirs.
func memoryModule(minimum, maximum byte) []byte {
	return slices.Concat(preamble,
		section(5, []byte{1, minimum, maximum}),
		section(7, exported("memory", 2, 0)),
		section(11, dataAt1))
}

// guestModule has functions size, grow, load, and store for its memory. hookAndLoad calls the host
// function env.hook and then loads from the given address. hookAndSize returns the size instead.
// growAndBack grows the memory by one page and writes to the address before it does the same as
// hookAndLoad.
func guestModule(imports bool, minimum, maximum byte) []byte {
	hook := append(slices.Concat(name("env"), name("hook")), 0, 0)
	theirs := append(slices.Concat(name("mem"), name("memory")), 2, 1, minimum, maximum)
	header := slices.Concat(preamble, section(1,
		[]byte{0x60, 0, 0},                // 0: () -> ()
		[]byte{0x60, 0, 1, 0x7f},          // 1: () -> i32
		[]byte{0x60, 1, 0x7f, 1, 0x7f},    // 2: i32 -> i32
		[]byte{0x60, 2, 0x7f, 0x7f, 0x00}, // 3: i32, i32 -> ()
	))
	if imports {
		header = append(header, section(2, hook, theirs)...)
	} else {
		header = append(header, section(2, hook)...)
	}
	header = append(header,
		section(3, []byte{1}, []byte{2}, []byte{2}, []byte{3}, []byte{2}, []byte{1}, []byte{2})...)
	if !imports {
		header = append(header, section(5, []byte{1, minimum, maximum})...)
	}
	module := slices.Concat(header,
		section(7, exported("size", 0, 1), exported("grow", 0, 2), exported("load", 0, 3),
			exported("store", 0, 4), exported("hookAndLoad", 0, 5), exported("hookAndSize", 0, 6),
			exported("growAndBack", 0, 7)),
		section(10,
			function(0x3f, 0),
			function(0x20, 0, 0x40, 0),
			function(0x20, 0, 0x2d, 0, 0),
			function(0x20, 0, 0x20, 1, 0x3a, 0, 0),
			function(0x10, 0, 0x20, 0, 0x2d, 0, 0),
			function(0x10, 0, 0x3f, 0),
			function(0x41, 1, 0x40, 0, 0x1a, 0x20, 0, 0x41, 7, 0x3a, 0, 0, 0x10, 0, 0x20, 0, 0x2d,
				0, 0),
		))
	if !imports {
		module = append(module, section(11, dataAt1)...)
	}
	return module
}

// guest is a guest module on a range.
type guest struct {
	t    *testing.T
	mod  api.Module
	hook func()
}

func (g *guest) call(f string, args ...uint64) (uint64, error) {
	results, err := g.mod.ExportedFunction(f).Call(context.Background(), args...)
	if err != nil || len(results) == 0 {
		return 0, err
	}
	return results[0], nil
}

func (g *guest) must(f string, args ...uint64) uint64 {
	g.t.Helper()
	result, err := g.call(f, args...)
	require.NoError(g.t, err)
	return result
}

// setup is one of the ways in which wazero uses a range.
type setup struct {
	name     string
	config   func() wazero.RuntimeConfig
	compiles bool
	imports  bool
}

var setups = []setup{
	{"compiler", wazero.NewRuntimeConfigCompiler, true, false},
	{"compiler, imported memory", wazero.NewRuntimeConfigCompiler, true, true},
	{"interpreter", wazero.NewRuntimeConfigInterpreter, false, false},
	{"interpreter, imported memory", wazero.NewRuntimeConfigInterpreter, false, true},
}

// instantiate runs a guest with the given memory on r, and binds it.
func (s setup) instantiate(t *testing.T, r *Range, minimum, maximum byte) *guest {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, s.config())
	t.Cleanup(func() { require.NoError(t, rt.Close(ctx)) })
	g := &guest{t: t}
	_, err := rt.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithFunc(func() { g.hook() }).Export("hook").Instantiate(ctx)
	require.NoError(t, err)
	with := experimental.WithMemoryAllocator(ctx, r)
	if s.imports {
		_, err = rt.InstantiateWithConfig(with, memoryModule(minimum, maximum),
			wazero.NewModuleConfig().WithName("mem"))
		require.NoError(t, err)
		with = ctx
	}
	g.mod, err = rt.Instantiate(with, guestModule(s.imports, minimum, maximum))
	require.NoError(t, err)
	require.NoError(t, r.Bind(g.mod.Memory()))
	return g
}

// eachSetup runs f for every way and setup, with a range whose limit is 6 pages.
func eachSetup(t *testing.T, f func(t *testing.T, w way, s setup)) {
	for _, w := range ways() {
		for _, s := range setups {
			t.Run(w.name+"/"+s.name, func(t *testing.T) { f(t, w, s) })
		}
	}
}

const guestLimit = 6

// TestGuest initializes a guest and captures it. It then lets this guest and a second one on the
// same image write, grow, and reset.
func TestGuest(t *testing.T) {
	eachSetup(t, func(t *testing.T, w way, s setup) {
		first := w.open(t, Options{Limit: pages(guestLimit), Size: pages(2)})
		g := s.instantiate(t, first, 2, guestLimit+1)
		require.Equal(t, uint64('d'), g.must("load", 1))
		require.Equal(t, uint64(2), g.must("grow", 1)) // what a start function may do
		g.must("store", 2*PageSize+5, 42)
		img, err := first.Capture()
		require.NoError(t, err)
		require.Equal(t, pages(3), img.Size())
		require.NoError(t, first.Attach(img))
		checkGuest(t, g, first)

		second := w.open(t, Options{Limit: pages(guestLimit)})
		require.NoError(t, second.Attach(img))
		require.NoError(t, img.Close())
		g = s.instantiate(t, second, 2, guestLimit+1)
		checkGuest(t, g, second)
	})
}

// checkGuest expects the guest's memory to match the image, changes everything that the guest can,
// resets, and checks again.
func checkGuest(t *testing.T, g *guest, r *Range) {
	t.Helper()
	for _, undo := range []func() error{r.Reset, r.Reset, r.Trim, r.Reset} {
		require.Equal(t, uint64(3), g.must("size"))
		require.Equal(t, uint32(pages(3)), g.mod.Memory().Size())
		require.Equal(t, uint64('d'), g.must("load", 1))
		require.Equal(t, uint64(42), g.must("load", 2*PageSize+5))
		require.Zero(t, g.must("load", 3*PageSize-1))
		for _, at := range []uint64{3 * PageSize, guestLimit*PageSize - 1, 1<<32 - 1} {
			_, err := g.call("load", at)
			require.ErrorContains(t, err, "out of bounds memory access")
			_, err = g.call("store", at, 1)
			require.ErrorContains(t, err, "out of bounds memory access")
		}

		g.must("store", 1, 'x')
		g.must("store", 3*PageSize-1, 1)
		require.Equal(t, uint64(3), g.must("grow", guestLimit-3))
		require.Zero(t, g.must("load", guestLimit*PageSize-1))
		g.must("store", guestLimit*PageSize-1, 9)
		require.Equal(t, uint64(0xffffffff), g.must("grow", 1),
			"the guest cannot use the spare page")
		var limit *LimitError
		require.ErrorAs(t, r.Refused(), &limit)
		require.Equal(t, uint64(guestLimit), g.must("size"))
		require.NoError(t, undo())
	}
}

// TestResetInsideHostFunction resets while a guest waits in a host function, like a guest that is
// parked there and rewound for each call. Afterwards, the guest must not continue with an earlier
// size.
func TestResetInsideHostFunction(t *testing.T) {
	eachSetup(t, func(t *testing.T, w way, s setup) {
		r := w.open(t, Options{Limit: pages(guestLimit)})
		start := noise(1, pages(2))
		require.NoError(t, r.Attach(newImage(t, start)))
		g := s.instantiate(t, r, 1, guestLimit+1)
		require.NoError(t, r.Reset()) // the data segment was written over the image
		g.hook = func() {
			require.Equal(t, uint64(2), g.must("grow", 2))
			g.must("store", 0, 0)
			g.must("store", 3*PageSize, 1)
			require.NoError(t, r.Reset())
		}
		require.Equal(t, uint64(2), g.must("hookAndSize"))
		require.Equal(t, uint64(start[0]), g.must("hookAndLoad", 0))
		_, err := g.call("hookAndLoad", 2*PageSize)
		require.ErrorContains(t, err, "out of bounds memory access")
		requireContent(t, start, r)
	})
}

// TestBoundsCheckIsNotRepeated shows why a frame must not continue if the memory was larger while
// it ran. wazero's compiler omits the check of an address that the same function has already
// checked, because memories only grow.
func TestBoundsCheckIsNotRepeated(t *testing.T) {
	eachSetup(t, func(t *testing.T, w way, s setup) {
		r := w.open(t, Options{Limit: pages(guestLimit)})
		require.NoError(t, r.Attach(newImage(t, noise(1, pages(2)))))
		g := s.instantiate(t, r, 1, guestLimit+1)
		g.hook = func() { require.NoError(t, r.Reset()) }
		result, err := g.call("growAndBack", 2*PageSize)
		if s.compiles {
			require.NoError(t, err)
			require.Zero(t, result, "the written value is gone")
		} else {
			require.ErrorContains(t, err, "out of bounds memory access")
		}
	})
}

// TestResetFromDeclaredMaximum shows why modules must declare a page more than the limit.
func TestResetFromDeclaredMaximum(t *testing.T) {
	eachSetup(t, func(t *testing.T, w way, s setup) {
		r := w.open(t, Options{Limit: pages(guestLimit)})
		require.NoError(t, r.Attach(newImage(t, noise(1, pages(2)))))
		g := s.instantiate(t, r, 1, guestLimit)
		require.Equal(t, uint64(2), g.must("grow", guestLimit-3))
		require.NoError(t, r.Reset())
		require.Equal(t, uint64(2), g.must("grow", guestLimit-2))
		err := r.Reset()
		require.ErrorContains(t, err, "declared maximum leaves no spare page")
		require.ErrorIs(t, r.Reset(), err, "the range can no longer be used")
	})
}

// TestResetAfterImporterClosed: when a module that imports a memory closes, wazero v1.12.0 cuts the
// memory off from its allocator. Later growth then lies elsewhere.
func TestResetAfterImporterClosed(t *testing.T) {
	for _, s := range setups {
		if !s.imports {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			r := ways()[0].open(t, Options{Limit: pages(guestLimit)})
			require.NoError(t, r.Attach(newImage(t, noise(1, pages(2)))))
			g := s.instantiate(t, r, 1, guestLimit+1)
			view := g.mod.Memory()
			require.NoError(t, g.mod.Close(context.Background()))
			_, ok := view.Grow(1)
			require.True(t, ok)
			require.ErrorContains(t, r.Reset(), "no longer takes its size from the range")
		})
	}
}

// TestBindRefusesAnother binds the memory of another instance.
func TestBindRefusesAnother(t *testing.T) {
	w, s := ways()[0], setups[0]
	one := w.open(t, Options{Limit: pages(guestLimit), Size: pages(1)})
	s.instantiate(t, one, 1, guestLimit+1)
	two := w.open(t, Options{Limit: pages(guestLimit), Size: pages(1)})
	g := s.instantiate(t, two, 1, guestLimit+1)
	require.ErrorContains(t, two.Bind(g.mod.Memory()), "bound already")
	one.view = nil
	require.ErrorContains(t, one.Bind(g.mod.Memory()), "not the one")
}

// TestClosedModule calls a function of a closed module. wazero runs it before it reports that the
// module is closed, so Free must have left the memory in place.
func TestClosedModule(t *testing.T) {
	eachSetup(t, func(t *testing.T, w way, s setup) {
		r := w.open(t, Options{Limit: pages(guestLimit), Size: pages(1)})
		g := s.instantiate(t, r, 1, guestLimit+1)
		store := g.mod.ExportedFunction("store")
		require.NoError(t, g.mod.Close(context.Background()))
		_, err := store.Call(context.Background(), 1, 'x')
		require.ErrorContains(t, err, "module closed")
		require.Equal(t, byte('x'), content(r)[1])
	})
}

// TestMinimumBeyondLimit: an allocator can refuse wazero's first size only by a panic.
func TestMinimumBeyondLimit(t *testing.T) {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer func() { require.NoError(t, rt.Close(ctx)) }()
	r := ways()[0].open(t, Options{Limit: pages(1)})
	require.Panics(t, func() {
		_, _ = rt.Instantiate(experimental.WithMemoryAllocator(ctx, r), memoryModule(2, 3))
	})
	var limit *LimitError
	require.ErrorAs(t, r.Refused(), &limit)
}
