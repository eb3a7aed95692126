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
	"testing"

	"github.com/stretchr/testify/require"
)

func TestImageFromSegments(t *testing.T) {
	for name, c := range map[string]struct {
		size     uint64
		segments []Segment
		stored   uint64
	}{
		"nothing":     {},
		"no segments": {size: pages(2)},
		"one": {
			size: pages(3), segments: []Segment{{pages(1) + 1, []byte("abc")}}, stored: pages(2),
		},
		"up to the end": {
			size: pages(1), segments: []Segment{{PageSize - 3, []byte("abc")}}, stored: pages(1),
		},
		"across pages": {
			size: pages(4), segments: []Segment{{PageSize - 1, []byte("abc")}}, stored: pages(2),
		},
		"in any order": {
			size: pages(4), segments: []Segment{{pages(3), []byte{1}}, {0, []byte{2}}},
			stored: pages(4),
		},
		"the later one wins": {
			size: pages(1), segments: []Segment{{5, []byte("abcd")}, {6, []byte("x")}},
			stored: pages(1),
		},
		"zeros over content": {
			size: pages(1), segments: []Segment{{5, []byte("abcd")}, {6, []byte{0, 0}}},
			stored: pages(1),
		},
		"zeros alone": {size: pages(4), segments: []Segment{{0, make([]byte, pages(4))}}},
		"zeros after content": {
			size: pages(4), segments: []Segment{{9, append([]byte{1}, make([]byte, pages(2))...)}},
			stored: pages(1),
		},
		"empty, at the end": {size: pages(1), segments: []Segment{{Offset: pages(1)}}},
		"zeros, cut off whole": {
			size: pages(4), segments: []Segment{{0, []byte{1}}, {pages(2), make([]byte, 10)}},
			stored: pages(1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := make([]byte, c.size)
			for _, s := range c.segments {
				copy(want[s.Offset:], s.Data)
			}
			img, err := NewImage(c.size, nil, c.segments...)
			require.NoError(t, err)
			defer func() { require.NoError(t, img.Close()) }()
			require.Equal(t, c.size, img.Size())
			require.Equal(t, c.stored, img.Stored())
			require.True(t, bytes.Equal(want[:c.stored], img.data))
			for _, w := range ways() {
				requireContent(t, want, w.attached(t, pages(4), img))
			}
		})
	}
}

func TestNewImageRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		size    uint64
		segment Segment
	}{
		"size is no multiple of the page size": {size: 100},
		"size is beyond 32 bits":               {size: 1 << 32},
		"segment is longer than the image": {
			size: pages(1), segment: Segment{Data: make([]byte, PageSize+1)},
		},
		"segment ends beyond": {
			size: pages(1), segment: Segment{Offset: PageSize - 1, Data: []byte{1, 2}},
		},
		"offset is beyond": {
			size: pages(1), segment: Segment{Offset: PageSize + 1},
		},
		"offset wraps": {
			size: pages(1), segment: Segment{Offset: 1<<64 - 1, Data: []byte{1, 2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewImage(c.size, nil, c.segment)
			require.Error(t, err)
		})
	}
}

// TestCloseImageInUse closes the image before its ranges. They continue, no range can be added, and
// the last one frees the image.
func TestCloseImageInUse(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			start := noise(1, pages(2))
			b := NewBudget(pages(2))
			img, err := NewImage(pages(2), b, Segment{Data: start})
			require.NoError(t, err)
			one, two := w.attached(t, pages(2), img), w.attached(t, pages(2), img)
			require.NoError(t, img.Close())
			require.NoError(t, img.Close(), "closing again does not drop the reference of a range")

			for _, r := range []*Range{one, two} {
				clear(content(r))
				require.NoError(t, r.Reset())
				requireContent(t, start, r)
			}
			three := w.open(t, Options{Limit: pages(2)})
			require.ErrorIs(t, three.Attach(img), ErrClosed)

			require.NoError(t, one.Close())
			require.Equal(t, pages(2), b.Used())
			require.NoError(t, two.Attach(newImage(t, nil)))
			require.Zero(t, b.Used())
			require.ErrorIs(t, three.Attach(img), ErrClosed)
		})
	}
}
