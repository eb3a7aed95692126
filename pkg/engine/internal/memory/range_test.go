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
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// way is one of the ways in which ranges work on this machine.
type way struct {
	name string
	make func(Options) (*Range, error)
}

// ways returns every strategy that the system supports, and the heap space that other systems use.
func ways() []way {
	var all []way
	for _, p := range Probe() {
		if p.Err == nil {
			all = append(all, way{string(p.Strategy), func(o Options) (*Range, error) {
				o.Strategy = p.Strategy
				return NewRange(o)
			}})
		}
	}
	return append(all, way{"heap", func(o Options) (*Range, error) {
		return newRange(o, Copy, newHeapSpace(), copying{})
	}})
}

func (w way) open(t testing.TB, o Options) *Range {
	t.Helper()
	r, err := w.make(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// attached returns a range with the given limit, attached to img.
func (w way) attached(t testing.TB, limit uint64, img *Image) *Range {
	t.Helper()
	r := w.open(t, Options{Limit: limit})
	require.NoError(t, r.Attach(img))
	return r
}

func newImage(t testing.TB, content []byte) *Image {
	t.Helper()
	img, err := NewImage(uint64(len(content)), nil, Segment{Data: content})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, img.Close()) })
	return img
}

// noise returns n bytes, none of them zero.
func noise(seed, n uint64) []byte {
	random := rand.New(rand.NewPCG(seed, n))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(1 + random.IntN(255))
	}
	return b
}

// content returns the range's content, up to the current size.
func content(r *Range) []byte { return r.space.bytes(r.size) }

// requireContent fails unless the range holds want. It does not print megabytes.
func requireContent(t testing.TB, want []byte, r *Range) {
	t.Helper()
	got := content(r)
	require.Len(t, got, len(want))
	if !bytes.Equal(want, got) {
		for i := range want {
			require.Equalf(t, want[i], got[i], "byte %d", i)
		}
	}
}

func pages(n uint64) uint64 { return n * PageSize }

func TestNewRangeRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"limit is no multiple of the page size": {Limit: 1},
		"limit leaves no spare page":            {Limit: 1 << 32},
		"size is no multiple of the page size":  {Limit: pages(1), Size: 1},
		"size is beyond the limit":              {Limit: pages(1), Size: pages(2)},
		"strategy is not known":                 {Limit: pages(1), Strategy: "magic"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewRange(o)
			require.Error(t, err)
		})
	}
}

func TestLargestLimit(t *testing.T) {
	r, err := NewRange(Options{Limit: MaxLimit})
	require.NoError(t, err)
	require.NotNil(t, r.Reallocate(pages(1)))
	require.NoError(t, r.Close())
}

func TestReallocate(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			r := w.open(t, Options{Limit: pages(3), Size: pages(1)})
			b := r.Reallocate(pages(1))
			require.Len(t, b, PageSize)
			require.Equal(t, len(b), cap(b), "slicing must not reach beyond the size")
			b[0], b[PageSize-1] = 1, 2

			b = r.Reallocate(pages(3))
			require.Len(t, b, 3*PageSize)
			require.Equal(t, []byte{1, 2}, []byte{b[0], b[PageSize-1]}, "growth keeps the content")
			require.Zero(t, trimZeros(b[PageSize:]))
			b[pages(3)-1] = 3
			require.NoError(t, r.Refused())

			require.Nil(t, r.Reallocate(pages(4)))
			var limit *LimitError
			require.ErrorAs(t, r.Refused(), &limit)
			require.Equal(t, LimitError{Limit: pages(3), Requested: pages(4)}, *limit)
			require.ErrorContains(t, limit, "196608")
			require.Equal(t, pages(3), r.Usage().Size)

			require.Len(t, r.Reallocate(pages(1)), PageSize)
			require.Zero(t, trimZeros(r.Reallocate(pages(3))[PageSize:]),
				"the cut-off part is gone")

			require.Nil(t, r.Reallocate(1<<63))
		})
	}
}

func TestShrinkIntoImage(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			start := noise(1, pages(3))
			r := w.attached(t, pages(5), newImage(t, start))
			require.NotNil(t, r.Reallocate(pages(5)))
			content(r)[pages(5)-1] = 1
			require.NotNil(t, r.Reallocate(pages(1)))
			b := r.Reallocate(pages(5))
			require.Equal(t, start[:PageSize], b[:PageSize])
			require.Zero(t, trimZeros(b[PageSize:]), "neither the image nor old content comes back")
			require.NoError(t, r.Reset())
			requireContent(t, start, r)
		})
	}
}

func TestOneModuleOnly(t *testing.T) {
	r, err := NewRange(Options{Limit: pages(1)})
	require.NoError(t, err)
	require.NotNil(t, r.Allocate(0, 0).Reallocate(0))
	require.Panics(t, func() { r.Allocate(0, 0) })
	require.NoError(t, r.Close())
	require.Panics(t, func() { r.Allocate(0, 0) })
}

func TestCapture(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			r := w.open(t, Options{Limit: pages(4), Size: pages(3)})
			start := append(noise(7, pages(1)+10), make([]byte, pages(2)-10)...)
			copy(content(r), start)
			img, err := r.Capture()
			require.NoError(t, err)
			require.Equal(t, pages(3), img.Size())
			require.Equal(t, pages(2), img.Stored())

			content(r)[0] ^= 0xff // the image is a copy
			require.NoError(t, r.Attach(img))
			require.NoError(t, img.Close())
			requireContent(t, start, r)
		})
	}
}

func TestClosedRange(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			img := newImage(t, noise(1, pages(1)))
			r := w.attached(t, pages(2), img)
			r.Free()
			requireContent(t, noise(1, pages(1)), r) // Free leaves everything in place
			require.NoError(t, r.Close())
			require.NoError(t, r.Close())
			require.Nil(t, r.Reallocate(0))
			require.ErrorIs(t, r.Reset(), ErrClosed)
			require.ErrorIs(t, r.Trim(), ErrClosed)
			require.ErrorIs(t, r.Attach(img), ErrClosed)
			require.ErrorIs(t, r.Bind(nil), ErrClosed)
			_, err := r.Capture()
			require.ErrorIs(t, err, ErrClosed)
			require.Equal(t, Usage{}, r.Usage())
		})
	}
}

func TestMisuse(t *testing.T) {
	r := ways()[0].open(t, Options{Limit: pages(1)})
	require.ErrorContains(t, r.Reset(), "no image")
	require.ErrorContains(t, r.Bind(nil), "no module")
	img := newImage(t, make([]byte, pages(1)))
	require.NoError(t, r.Attach(img))
	r.Allocate(0, 0).Reallocate(0)
	require.ErrorContains(t, r.Reset(), "not bound", "wazero's view of the size would be stale")
	require.ErrorContains(t, r.Attach(img), "not bound")
	require.ErrorContains(t, r.Bind(nil), "not the one")
}
