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
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is a space whose address range is reserved once and never moves. Memory that is not
// committed cannot be accessed.
type mapping struct {
	mem       []byte // all of it; [0, committed) is accessible
	committed uint64
	copies    bool // overlay copies the image instead of mapping it
}

// newMapping reserves size bytes. With copies, overlay copies the image and does not need a memfd.
func newMapping(size uint64, copies bool) (*mapping, error) {
	size = max(size, PageSize) // a mapping cannot be empty
	if uint64(int(size)) != size || int(size) < 0 {
		return nil, fmt.Errorf("reserve %d bytes of address space: %w", size, unix.ENOMEM)
	}
	p, err := mapReserved(nil, size)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of address space: %w", size, err)
	}
	return &mapping{mem: unsafe.Slice((*byte)(p), size), copies: copies}, nil
}

// mapReserved maps size bytes of inaccessible memory, at addr if that is not nil.
func mapReserved(addr unsafe.Pointer, size uint64) (unsafe.Pointer, error) {
	flags := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	if addr != nil {
		flags |= unix.MAP_FIXED
	}
	p, err := unix.MmapPtr(-1, 0, addr, uintptr(size), unix.PROT_NONE, flags)
	if err != nil {
		return nil, err
	}
	noHugePages(unsafe.Slice((*byte)(p), size))
	return p, nil
}

// noHugePages keeps the kernel from backing b with huge pages. Otherwise, one written byte would
// make 2 MiB private, which each reset would have to restore. A kernel without huge pages rejects
// the advice and does not need it.
func noHugePages(b []byte) {
	_ = unix.Madvise(b, unix.MADV_NOHUGEPAGE)
}

func (m *mapping) bytes(n uint64) []byte { return m.mem[:n:n] }

func (m *mapping) commit(n uint64) error {
	if n <= m.committed {
		return nil
	}
	if err := unix.Mprotect(m.mem[m.committed:n], unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return fmt.Errorf("commit %d bytes: %w", n-m.committed, err)
	}
	m.committed = n
	return nil
}

// stretch is the number of bytes in one call to the kernel: some tens of microseconds of work. See
// advise.
const stretch = 64 << 10

// advise calls madvise(2) on [lo, hi) in short stretches, without telling Go's scheduler. If it
// knew, the scheduler would start another thread while the kernel works, so that more threads than
// processors would run. One of them, perhaps in the middle of a guest's code, would then wait 4 ms
// or more for its turn, and the garbage collector would wait for it. The price is that the
// collector cannot stop a thread during such a call. That is the lesser evil if the kernel returns
// soon.
func (m *mapping) advise(lo, hi uint64, advice uintptr) error {
	for ; lo < hi; lo += stretch {
		if errno := adviseStretch(m.mem[lo:min(lo+stretch, hi)], advice); errno != 0 {
			return errno
		}
	}
	return nil
}

// adviseStretch is not inlined, so that a goroutine can be stopped before it.
//
//go:noinline
func adviseStretch(b []byte, advice uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_MADVISE, uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), advice)
	return errno
}

// populate has no effect before Linux 5.14. There, pages are backed on first access.
func (m *mapping) populate(lo, hi uint64) {
	_ = m.advise(lo, hi, unix.MADV_POPULATE_WRITE)
}

// drop relies on the effect of MADV_DONTNEED on private mappings: the next access finds the content
// of the file, or zeros where there is no file. See madvise(2).
func (m *mapping) drop(lo, hi uint64) error {
	if err := m.advise(lo, hi, unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("drop %d bytes: %w", hi-lo, err)
	}
	return nil
}

func (m *mapping) overlay(img *Image) error {
	// A fresh mapping replaces the old one in one step and leaves nothing of its content.
	base := unsafe.Pointer(unsafe.SliceData(m.mem))
	if _, err := mapReserved(base, uint64(len(m.mem))); err != nil {
		return fmt.Errorf("clear the range: %w", err)
	}
	m.committed = 0
	if m.copies {
		if err := m.commit(img.size); err != nil {
			return err
		}
		img.refill(m.mem, 0, img.Stored())
		return nil
	}
	stored := img.Stored()
	if stored > 0 {
		if !img.file.mapped {
			return errors.New("the image is not a file that can be mapped")
		}
		_, err := unix.MmapPtr(img.file.fd, 0, base, uintptr(stored),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
		if err != nil {
			return fmt.Errorf("map %d bytes of image: %w", stored, err)
		}
		noHugePages(m.mem[:stored])
		m.committed = stored
	}
	return m.commit(img.size)
}

func (m *mapping) uncommit(n uint64) error {
	if n >= m.committed {
		return nil
	}
	if err := unix.Mprotect(m.mem[n:m.committed], unix.PROT_NONE); err != nil {
		return fmt.Errorf("uncommit %d bytes: %w", m.committed-n, err)
	}
	m.committed = n
	return nil
}

func (m *mapping) close() error {
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(m.mem)), uintptr(len(m.mem)))
}
