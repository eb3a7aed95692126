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
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const testLimit = 24 * PageSize // more than a reset keeps of growth

// starts are initial contents of memories.
func starts() map[string][]byte {
	return map[string][]byte{
		"full":              noise(1, pages(4)),
		"zeros at the end":  append(noise(2, pages(2)), make([]byte, pages(2))...),
		"partial last page": append(noise(3, pages(2)+1234), make([]byte, pages(2)-1234)...),
		"zeros at the start": append(make([]byte, pages(2)), noise(4,
			pages(1))...),
		"all zeros":    make([]byte, pages(3)),
		"no length":    {},
		"as the limit": noise(5, testLimit),
	}
}

// junk is what guests write over their memory.
var junk = noise(6, testLimit)

// acts are what a call may do to its instance's memory.
var acts = map[string]func(t *testing.T, r *Range){
	"nothing": func(*testing.T, *Range) {},
	"reads only": func(t *testing.T, r *Range) {
		require.NotNil(t, bytes.Clone(content(r)))
	},
	"random writes": func(_ *testing.T, r *Range) {
		scribble(rand.New(rand.NewPCG(1, 2)), content(r), 100)
	},
	"writes to all pages": func(_ *testing.T, r *Range) {
		copy(content(r), junk)
	},
	"zeros over everything": func(_ *testing.T, r *Range) {
		clear(content(r))
	},
	"last byte": func(_ *testing.T, r *Range) {
		if r.size > 0 {
			content(r)[r.size-1]++
		}
	},
	"growth to the limit": func(t *testing.T, r *Range) {
		require.NotNil(t, r.Reallocate(testLimit))
		require.Nil(t, r.Reallocate(testLimit+PageSize))
	},
	"growth page by page, and writes": func(t *testing.T, r *Range) {
		for n := r.size; n <= testLimit; n += PageSize {
			require.NotNil(t, r.Reallocate(n))
			if n > 0 {
				copy(content(r)[n-PageSize:], junk)
			}
		}
	},
	"shrink and growth": func(t *testing.T, r *Range) {
		require.NotNil(t, r.Reallocate(r.size/2/PageSize*PageSize))
		require.NotNil(t, r.Reallocate(testLimit))
		scribble(rand.New(rand.NewPCG(3, 4)), content(r), 10)
	},
	"shrink to nothing": func(t *testing.T, r *Range) {
		require.NotNil(t, r.Reallocate(0))
	},
}

// scribble writes n random bytes at random places.
func scribble(random *rand.Rand, b []byte, n int) {
	for range n {
		if len(b) > 0 {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
	}
}

func TestPristineAfterReset(t *testing.T) {
	undo := map[string]func(*Range) error{"reset": (*Range).Reset, "trim": (*Range).Trim}
	for _, w := range ways() {
		for startName, start := range starts() {
			img := newImage(t, start)
			for actName, act := range acts {
				for undoName, undo := range undo {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", w.name, startName, actName, undoName),
						func(t *testing.T) {
							r := w.attached(t, testLimit, img)
							for range 3 {
								requireContent(t, start, r)
								act(t, r)
								require.NoError(t, undo(r))
							}
							requireContent(t, start, r)
							require.NoError(t, r.Refused())

							grown := r.Reallocate(testLimit)
							require.Len(t, grown, testLimit)
							require.Zero(t, trimZeros(grown[len(start):]),
								"grown memory is zero again")
						})
				}
			}
		}
	}
}

// TestAttachAnother moves a used range from one image to others, longer and shorter.
func TestAttachAnother(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			r := w.open(t, Options{Limit: testLimit, Size: pages(1)})
			for range 2 {
				for name, start := range starts() {
					require.NotNil(t, r.Reallocate(testLimit))
					copy(content(r), junk)
					require.NoError(t, r.Attach(newImage(t, start)), name)
					requireContent(t, start, r)
					copy(content(r), junk)
					require.NoError(t, r.Reset(), name)
					requireContent(t, start, r)
				}
			}
			var limit *LimitError
			require.ErrorAs(t, r.Attach(newImage(t, make([]byte, testLimit+PageSize))), &limit)
			require.NoError(t, r.Reset(), "an image that is too large changes nothing")
		})
	}
}

// TestSideBySide makes many instances change the same image, each in its own way.
func TestSideBySide(t *testing.T) {
	start := noise(1, pages(4))
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			img := newImage(t, start)
			ranges := make([]*Range, 64)
			wants := make([][]byte, len(ranges))
			for i := range ranges {
				ranges[i] = w.attached(t, testLimit, img)
				wants[i] = bytes.Clone(start)
				scribble(rand.New(rand.NewPCG(uint64(i), 0)), content(ranges[i]), 50)
				scribble(rand.New(rand.NewPCG(uint64(i), 0)), wants[i], 50)
			}
			for i, r := range ranges {
				requireContent(t, wants[i], r)
				if i%2 == 0 {
					require.NoError(t, r.Reset())
					wants[i] = start
				}
			}
			for i, r := range ranges {
				requireContent(t, wants[i], r)
			}
		})
	}
}

// TestConcurrentResets lets 1000 goroutines use a few ranges on two images, as calls use a pool.
func TestConcurrentResets(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			budget := NewBudget(pages(64))
			wants := map[*Image][]byte{}
			pool := make(chan *Range, 12)
			for i, start := range [][]byte{
				noise(1, pages(3)),
				append(noise(2, pages(1)), make([]byte, pages(1))...),
			} {
				img := newImage(t, start)
				wants[img] = start
				for range cap(pool) / 2 {
					r := w.open(t,
						Options{Limit: testLimit, Size: pages(uint64(i)), Budget: budget})
					require.NoError(t, r.Attach(img))
					pool <- r
				}
			}
			var wg sync.WaitGroup
			errs := make(chan error, 1000)
			for i := range cap(errs) {
				wg.Go(func() {
					r := <-pool
					defer func() { pool <- r }()
					errs <- useOnce(r, wants[r.image], uint64(i))
				})
			}
			wg.Wait()
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}
			for range cap(pool) {
				require.NoError(t, (<-pool).Close())
			}
			require.Zero(t, budget.Used())
		})
	}
}

func useOnce(r *Range, want []byte, seed uint64) error {
	if !bytes.Equal(want, content(r)) {
		return fmt.Errorf("call %d sees another call's changes", seed)
	}
	random := rand.New(rand.NewPCG(seed, 1))
	if b := r.Reallocate(r.size + pages(random.Uint64N(4))); b == nil && r.Refused() == nil {
		return fmt.Errorf("call %d was refused without a reason", seed)
	}
	scribble(random, content(r), 100)
	if random.IntN(10) == 0 {
		return r.Trim()
	}
	return r.Reset()
}

// TestUsage checks what each strategy keeps. If it finds written pages, those stay private and
// mapped.
func TestUsage(t *testing.T) {
	page := uint64(os.Getpagesize())
	const written = 26
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			img := newImage(t, noise(1, pages(32)))
			r := w.attached(t, pages(64), img)
			kept := map[Strategy]uint64{
				PagemapScan: written * page,
				Pagemap:     written * page,
				Copy:        img.Size(),
			}[r.Strategy()]
			trimmed := map[Strategy]uint64{Copy: img.Size()}[r.Strategy()]

			bytes.Clone(content(r))
			require.NoError(t, r.Reset())
			require.Equal(t, Usage{Size: pages(32), Private: trimmed}, r.Usage(),
				"reading makes no page private")

			for i := range uint64(written) {
				content(r)[i*2*page] = 0
			}
			require.NotNil(t, r.Reallocate(pages(40)))
			require.Equal(t, Usage{Size: pages(40), Private: trimmed + pages(8)}, r.Usage())
			for range 2 {
				require.NoError(t, r.Reset())
				require.Equal(t, Usage{Size: pages(32), Private: kept}, r.Usage())
			}
			require.NoError(t, r.Trim())
			require.Equal(t, Usage{Size: pages(32), Private: trimmed}, r.Usage())

			// Only the beginning of the growth may stay private, and it must be tracked.
			grown := r.Reallocate(pages(64))
			for at := img.Size(); at < uint64(len(grown)); at += page {
				grown[at] = 1
			}
			kept = map[Strategy]uint64{
				PagemapScan: keptGrowth,
				Pagemap:     keptGrowth,
				Copy:        img.Size(),
			}[r.Strategy()]
			for range 2 {
				require.NoError(t, r.Reset())
				require.Equal(t, Usage{Size: pages(32), Private: kept}, r.Usage())
			}
			require.NoError(t, r.Trim())
			require.Equal(t, Usage{Size: pages(32), Private: trimmed}, r.Usage())
			require.Zero(t, trimZeros(r.Reallocate(pages(64))[img.Size():]))
		})
	}
}

// FuzzReset runs sequences of operations on a range in every way, and on a slice as a model.
func FuzzReset(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 1, 3, 0, 0, 200, 9, 3, 2, 0, 4, 7, 1, 2, 2, 0, 0, 5, 6, 2})
	f.Add([]byte{1, 6, 0, 255, 255, 255, 2, 1, 6, 3, 0, 1, 1, 1, 2})
	f.Add([]byte{3, 1, 1, 6, 0, 128, 0, 7, 4, 0, 100, 1, 1, 2})
	const limit = 24 * PageSize
	start := append(noise(1, pages(2)+77), make([]byte, pages(2)-77)...)
	img := newImage(f, start)
	all := ways()
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 200 {
			ops = ops[:200]
		}
		for _, w := range all {
			r := w.attached(t, limit, img)
			want := runModel(t, r, start, limit, ops)
			requireContent(t, want, r)
			require.NoError(t, r.Reset())
			requireContent(t, start, r)
			require.NoError(t, r.Close())
		}
	})
}

// runModel applies ops to r and to a slice, compares them at every reset, and returns the slice.
func runModel(t *testing.T, r *Range, start []byte, limit uint64, ops []byte) []byte {
	next := func() uint64 {
		if len(ops) == 0 {
			return 0
		}
		b := ops[0]
		ops = ops[1:]
		return uint64(b)
	}
	want := bytes.Clone(start)
	for len(ops) > 0 {
		switch next() % 5 {
		case 0: // write a byte, anywhere
			if n := uint64(len(want)); n > 0 {
				at := (next()<<16 | next()<<8 | next()) % n
				b := byte(next())
				want[at], content(r)[at] = b, b
			}
		case 1: // change the size, up to one page too many
			n := pages(next() % (limit/PageSize + 2))
			got := r.Reallocate(n)
			require.Equal(t, n <= limit, got != nil)
			if got != nil {
				keep := min(n, uint64(len(want)))
				want = append(want[:keep:keep], make([]byte, n-keep)...)
			}
		case 2, 3:
			requireContent(t, want, r)
			require.NoError(t, r.Reset())
			want = bytes.Clone(start)
		case 4:
			require.NoError(t, r.Trim())
			want = bytes.Clone(start)
		}
	}
	return want
}
