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
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkReset writes one byte to each of a number of pages, spread over the memory, and resets.
// ns/op is the whole round, including the page faults that a strategy causes in the next call.
// reset-ns/op is the reset alone, and private-B is what the instance holds afterwards.
func BenchmarkReset(b *testing.B) {
	page := os.Getpagesize()
	for _, size := range []int{2 << 20, 17 << 20} {
		img := newImage(b, noise(1, uint64(size)))
		for _, dirty := range []int{0, 26, 867} {
			if dirty*page > size {
				dirty = size / page // all pages
			}
			for _, w := range ways() {
				b.Run(fmt.Sprintf("image=%dMiB/dirty=%d/%s", size>>20, dirty, w.name),
					func(b *testing.B) {
						r := w.attached(b, uint64(size)+pages(16), img)
						mem := content(r)
						_ = bytes.Clone(mem) // like a working instance, which has read its memory
						var resets time.Duration
						for b.Loop() {
							for i := range dirty {
								mem[i*(size/page)/dirty*page]++
							}
							start := time.Now()
							if err := r.Reset(); err != nil {
								b.Fatal(err)
							}
							resets += time.Since(start)
						}
						b.ReportMetric(float64(resets.Nanoseconds())/float64(b.N), "reset-ns/op")
						b.ReportMetric(float64(r.Usage().Private), "private-B")
						require.NoError(b, r.Close())
					})
			}
		}
	}
}

// BenchmarkGrowAndReset is a call that grows the memory by one or sixteen pages, writes there, and
// resets.
func BenchmarkGrowAndReset(b *testing.B) {
	img := newImage(b, noise(1, 2<<20))
	for _, grown := range []uint64{1, 16} {
		for _, w := range ways() {
			b.Run(fmt.Sprintf("pages=%d/%s", grown, w.name), func(b *testing.B) {
				r := w.attached(b, 4<<20, img)
				for b.Loop() {
					mem := r.Reallocate(img.Size() + pages(grown))
					for at := img.Size(); at < uint64(len(mem)); at += 4096 {
						mem[at]++
					}
					if err := r.Reset(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
