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
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMerge(t *testing.T) {
	for name, c := range map[string]struct{ spans, want []span }{
		"nothing":   {},
		"empty":     {[]span{{3, 3}}, nil},
		"order":     {[]span{{8, 9}, {1, 2}}, []span{{1, 2}, {8, 9}}},
		"neighbour": {[]span{{1, 2}, {2, 3}}, []span{{1, 3}}},
		"overlap":   {[]span{{1, 5}, {3, 4}, {4, 8}}, []span{{1, 8}}},
	} {
		t.Run(name, func(t *testing.T) {
			require.ElementsMatch(t, c.want, merge(c.spans))
		})
	}
}

// TestRefillAroundHoles resets every stretch of a memory to an image with holes.
func TestRefillAroundHoles(t *testing.T) {
	const n = 16 // one page
	start := make([]byte, PageSize)
	img := newHoles(t, start, 1, 2, 5, 15)
	for lo := range uint64(n) {
		for hi := lo; hi <= n; hi++ {
			mem := noise(3, PageSize)
			want := append([]byte(nil), mem...)
			copy(want[lo*granule:hi*granule], start[lo*granule:])
			img.refill(mem, lo*granule, hi*granule)
			require.Equal(t, want, mem)
			require.True(t, img.equals(mem, lo*granule, hi*granule))
			if lo < hi {
				mem[lo*granule] ^= 1
				require.False(t, img.equals(mem, lo*granule, hi*granule))
				mem[lo*granule] ^= 1
				mem[hi*granule-1] ^= 1
				require.False(t, img.equals(mem, lo*granule, hi*granule))
			}
		}
	}
}

// newHoles makes an image with content in the given granules, and writes the same content to start.
func newHoles(t *testing.T, start []byte, granules ...uint64) *Image {
	t.Helper()
	var segments []Segment
	for _, g := range granules {
		s := Segment{Offset: g * granule, Data: noise(g, granule)}
		copy(start[s.Offset:], s.Data)
		segments = append(segments, s)
	}
	img, err := NewImage(uint64(len(start)), nil, segments...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, img.Close()) })
	return img
}

// TestCaptureAroundHoles captures a memory that begins with an image with holes, with and without
// content that a reset would restore.
func TestCaptureAroundHoles(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			start := make([]byte, pages(3))
			img := newHoles(t, start, 0, 3, 17, 40)
			r := w.attached(t, pages(5), img)
			clear(content(r)[:granule]) // something becomes zero
			content(r)[5*granule] = 1   // zeros become something
			content(r)[3*granule]++
			require.NotNil(t, r.Reallocate(pages(4)))
			content(r)[pages(3)+1] = 1 // and part of the growth
			want := append([]byte(nil), content(r)...)

			captured, err := r.Capture()
			require.NoError(t, err)
			require.Equal(t,
				[]span{{3 * granule, 4 * granule}, {5 * granule, 6 * granule},
					{17 * granule, 18 * granule},
					{40 * granule, 41 * granule}, {48 * granule, 49 * granule}}, captured.parts)
			require.True(t, r.Holds(captured))
			require.False(t, r.Holds(img))
			require.NoError(t, r.Reset())
			require.True(t, r.Holds(img))
			require.False(t, r.Holds(captured))
			requireContent(t, start, r)
			require.NoError(t, r.Attach(captured))
			require.NoError(t, captured.Close())
			requireContent(t, want, r)
		})
	}
}
