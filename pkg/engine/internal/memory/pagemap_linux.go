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
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A page of a private file mapping shows the file until it is written; then it is an anonymous
// copy. A page was therefore written if it is present, in memory or in swap, and does not belong to
// a file. The same holds for the part of an image without a file, whose pages appear with the first
// write. Reading there maps the kernel's zero page, which may be mistaken for a written page
// without harm.

// region is a range of pages by address: struct page_region in the kernel's
// include/uapi/linux/fs.h.
type region struct {
	start, end uint64
	categories uint64
}

// maxRegions is the maximum number of regions that one step of a search finds.
const maxRegions = 1024

// scratch is the working memory of one search. It is on the heap because the kernel gets the
// address of regions as an integer.
type scratch struct {
	regions [maxRegions]region
	entries [2 * maxRegions]uint64 // at worst, every other page is a separate region
	arg     scanArg
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// finder finds written pages.
type finder interface {
	// find searches for written pages from address at up to end. It returns them, in buffers of s,
	// and the address where the search stopped.
	find(at, end uint64, s *scratch) (found []region, next uint64, err error)
}

// finding is the restorer that copies the image over the pages that its finder finds.
type finding struct {
	finder finder
}

func (f finding) restore(sp space, img *Image, n uint64) (uint64, error) {
	mem := sp.bytes(n)
	private := uint64(0)
	err := f.each(mem, func(lo, hi uint64) {
		img.refill(mem, lo, hi)
		private += hi - lo
	})
	return private, err
}

func (f finding) written(sp space, n uint64) (found []span, err error) {
	err = f.each(sp.bytes(n), func(lo, hi uint64) { found = append(found, span{lo, hi}) })
	return found, err
}

func (finding) keepsPages() bool { return true }

// window is the number of bytes searched at a time. It is bounded for the reason given at
// [mapping.advise].
const window = 16 << 20

// each calls do for every written stretch of mem.
func (f finding) each(mem []byte, do func(lo, hi uint64)) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	for at, end := base, base+uint64(len(mem)); at < end; {
		found, next, err := f.finder.find(at, min(at+window, end), s)
		if err != nil {
			return err
		}
		if next <= at {
			return fmt.Errorf("search for written pages: stuck %d bytes before the end", end-at)
		}
		for _, r := range found {
			do(r.start-base, r.end-base)
		}
		at = next
	}
	return nil
}

// entryFinder reads entries of /proc/self/pagemap. Each page has one 64-bit entry; see the kernel's
// Documentation/admin-guide/mm/pagemap.rst.
type entryFinder struct {
	fd int
}

const (
	entryFile    = 1 << 61 // page of a file, or shared anonymous
	entrySwapped = 1 << 62
	entryPresent = 1 << 63
)

func (f entryFinder) find(at, end uint64, s *scratch) ([]region, uint64, error) {
	page := uint64(os.Getpagesize())
	n := min((end-at)/page, uint64(len(s.entries)))
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&s.entries[0])), n*8)
	for done := 0; done < len(raw); {
		read, err := unix.Pread(f.fd, raw[done:], int64(at/page*8)+int64(done))
		if err != nil {
			return nil, 0, fmt.Errorf("read /proc/self/pagemap: %w", err)
		}
		if read == 0 {
			return nil, 0, fmt.Errorf(
				"read /proc/self/pagemap: %d bytes are missing", len(raw)-done)
		}
		done += read
	}
	found := s.regions[:0]
	for i, e := range s.entries[:n] {
		if e&entryFile != 0 || e&(entryPresent|entrySwapped) == 0 {
			continue
		}
		start := at + uint64(i)*page
		if last := len(found) - 1; last >= 0 && found[last].end == start {
			found[last].end += page
			continue
		}
		found = append(found, region{start: start, end: start + page})
	}
	return found, at + n*page, nil
}

// scanFinder uses the ioctl PAGEMAP_SCAN.
type scanFinder struct {
	fd int
}

// scanArg is struct pm_scan_arg in include/uapi/linux/fs.h. The constants below come from there,
// too.
type scanArg struct {
	size             uint64
	flags            uint64
	start            uint64
	end              uint64
	walkEnd          uint64
	vec              uint64
	vecLen           uint64
	maxPages         uint64
	categoryInverted uint64
	categoryMask     uint64
	categoryAnyof    uint64
	returnMask       uint64
}

const (
	pagemapScan = 3<<30 | 96<<16 | 'f'<<8 | 16 // _IOWR('f', 16, struct pm_scan_arg)

	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
	pageIsPFNZero = 1 << 5
)

func (f scanFinder) find(at, end uint64, s *scratch) ([]region, uint64, error) {
	s.arg = scanArg{
		size:   uint64(unsafe.Sizeof(s.arg)),
		start:  at,
		end:    end,
		vec:    uint64(uintptr(unsafe.Pointer(&s.regions[0]))),
		vecLen: uint64(len(s.regions)),
		// Match pages that are neither file pages nor the zero page (both inverted), and are
		// present or swapped.
		categoryInverted: pageIsFile | pageIsPFNZero,
		categoryMask:     pageIsFile | pageIsPFNZero,
		categoryAnyof:    pageIsPresent | pageIsSwapped,
		// The kernel joins neighbors whose categories are equal under this mask. All matching pages
		// are.
		returnMask: pageIsFile,
	}
	n, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(f.fd), pagemapScan,
		uintptr(unsafe.Pointer(&s.arg)))
	runtime.KeepAlive(s)
	if errno != 0 {
		return nil, 0, fmt.Errorf("ioctl PAGEMAP_SCAN: %w", errno)
	}
	// walk_end says where the kernel stopped. It is stale, however, if the kernel reached the end
	// after it emptied its own buffer of 512 regions on the way (seen with 6.18). Search again
	// after the last region instead.
	next := end
	if n > 0 && s.arg.walkEnd < end {
		next = s.regions[n-1].end
	}
	return s.regions[:n], next, nil
}
