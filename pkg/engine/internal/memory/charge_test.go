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
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBudgetOfRanges(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			b := NewBudget(pages(10))
			var exceeded *BudgetError

			_, err := w.make(Options{Limit: pages(20), Size: pages(11), Budget: b})
			require.ErrorAs(t, err, &exceeded)
			require.Zero(t, b.Used())

			r := w.open(t, Options{Limit: pages(20), Size: pages(2), Budget: b})
			require.Equal(t, pages(2), b.Used())
			require.NotNil(t, r.Reallocate(pages(10)))
			require.Nil(t, r.Reallocate(pages(11)))
			require.ErrorAs(t, r.Refused(), &exceeded)
			require.Equal(t, BudgetError{Limit: pages(10), Used: pages(10), Requested: pages(1)},
				*exceeded)
			require.NotNil(t, r.Reallocate(pages(3)))
			require.Equal(t, pages(3), b.Used())

			copy(content(r), noise(1, pages(3)))
			img, err := r.Capture()
			require.NoError(t, err)
			require.Equal(t, pages(6), b.Used(), "the memory and its image")
			require.NoError(t, r.Attach(img))
			require.NoError(t, r.Close())
			require.Equal(t, pages(3), b.Used(), "the image, still open")
			require.NoError(t, img.Close())
			require.Zero(t, b.Used())
		})
	}
}

// TestResetWithoutBudget removes the budget while written pages are private. The reset must give
// them back, and must not fail or overdraw.
func TestResetWithoutBudget(t *testing.T) {
	start := noise(1, pages(4))
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			img := newImage(t, start)
			b := NewBudget(pages(8))
			r := w.open(t, Options{Limit: pages(8), Budget: b})
			require.NoError(t, r.Attach(img))
			clear(content(r))
			rest := b.Limit() - b.Used()
			require.NoError(t, b.Reserve(rest))
			require.NoError(t, r.Reset())
			requireContent(t, start, r)
			require.Equal(t, b.Limit(), b.Used())

			// With budget, written pages are kept again.
			b.Release(rest)
			content(r)[0]++
			require.NoError(t, r.Reset())
			requireContent(t, start, r)
			if r.Strategy() == PagemapScan {
				require.Equal(t, uint64(os.Getpagesize()), b.Used())
			}
		})
	}
}

func TestAttachWithoutBudget(t *testing.T) {
	heap := ways()[len(ways())-1]
	b := NewBudget(pages(3))
	r := heap.open(t, Options{Limit: pages(8), Size: pages(1), Budget: b})
	content(r)[5] = 5
	img := newImage(t, noise(1, pages(4)))
	var exceeded *BudgetError
	require.ErrorAs(t, r.Attach(img), &exceeded, "a copy is private in full")
	require.Equal(t, pages(1), b.Used())
	require.Equal(t, byte(5), content(r)[5], "nothing has changed")
	require.NoError(t, img.Close())
	require.Zero(t, img.refs.Load(), "the image is released")
}

func TestImageWithoutBudget(t *testing.T) {
	b := NewBudget(pages(1))
	var exceeded *BudgetError
	_, err := NewImage(pages(4), b, Segment{Data: noise(1, pages(2))})
	require.ErrorAs(t, err, &exceeded)
	img, err := NewImage(pages(4), b, Segment{Data: noise(1, pages(1))})
	require.NoError(t, err)
	require.Equal(t, pages(1), b.Used())
	require.NoError(t, img.Close())
	require.NoError(t, img.Close())
	require.Zero(t, b.Used())
}
