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
	"errors"
	"fmt"
	"sync"
)

// Strategy names a way to reset a range to its image.
type Strategy string

const (
	// Auto is the best strategy that the system supports.
	Auto Strategy = ""

	// PagemapScan asks the kernel which pages were written, with the ioctl PAGEMAP_SCAN on
	// /proc/self/pagemap (Linux 6.7 and later), and copies the image over them. The pages stay
	// mapped, so writing to them again does not fault.
	PagemapScan Strategy = "pagemap_scan"

	// Pagemap does the same, but reads an entry of /proc/self/pagemap for every page. A process
	// that is not dumpable can use neither Pagemap nor PagemapScan. An example is a process with
	// file capabilities that does not run as root.
	Pagemap Strategy = "pagemap"

	// Madvise drops the private pages of the whole range with MADV_DONTNEED. The next write to each
	// page faults and copies it, but an idle range holds no private memory.
	Madvise Strategy = "madvise"

	// Copy copies the whole image. It works everywhere. Its ranges share nothing.
	Copy Strategy = "copy"
)

// Support says whether the system supports a strategy.
type Support struct {
	Strategy Strategy
	// Err says why not; nil means that the strategy works. It wraps errors.ErrUnsupported if the
	// system has nothing like it.
	Err error
}

// Probe tries every strategy on a small range, once per process, and returns all of them, best
// first. Copy always works. Probe is safe for concurrent use; the caller must not change the
// result.
var Probe = sync.OnceValue(func() []Support {
	all := []Strategy{PagemapScan, Pagemap, Madvise, Copy}
	support := make([]Support, len(all))
	for i, s := range all {
		support[i] = Support{Strategy: s, Err: try(s)}
	}
	return support
})

// Resolve returns s itself, or the best strategy for [Auto]. It returns an error if the system does
// not support the strategy or no strategy has that name.
func Resolve(s Strategy) (Strategy, error) {
	for _, p := range Probe() {
		switch {
		case s == Auto && p.Err == nil:
			return p.Strategy, nil
		case s == p.Strategy && p.Err != nil:
			return "", fmt.Errorf("resetting memory by %s: %w", s, p.Err)
		case s == p.Strategy:
			return s, nil
		}
	}
	return "", fmt.Errorf("there is no reset strategy %q", string(s))
}

// try runs a strategy for real. The isolation of requests must not depend on what a kernel, a
// sandbox, or an emulation of Linux claims to support.
func try(strategy Strategy) (err error) {
	const size = 4 * PageSize
	written := bytes.Repeat([]byte{1}, size/2)
	img, err := NewImage(size, nil, Segment{Data: written})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	s, way, err := open(strategy, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.overlay(img); err != nil {
		return err
	}
	mem := s.bytes(size)
	for range 2 { // the second round meets the pages that the first one left mapped
		mem[0], mem[size/2-1], mem[size/2], mem[size-1] = 2, 2, 2, 2
		if _, err := way.restore(s, img, size); err != nil {
			return err
		}
		if !bytes.Equal(mem[:size/2], written) || trimZeros(mem[size/2:]) != 0 {
			return errors.New("a reset left changes behind")
		}
	}
	return nil
}

// restorer is the part in which strategies differ.
type restorer interface {
	// restore sets the first n bytes of s to the content of img, and to zero beyond its size. It
	// returns how many of those bytes are private memory afterwards. n is at least the size of img.
	restore(s space, img *Image, n uint64) (uint64, error)
	// written returns where the first n bytes of s may differ from the image, or from zero beyond
	// it.
	written(s space, n uint64) ([]span, error)
	// keepsPages reports whether written pages beyond the image stay backed over restore.
	keepsPages() bool
}

// dropping is the restorer of Madvise, and of Trim. The image is mapped, so dropping a page
// restores it.
type dropping struct{}

func (dropping) restore(s space, _ *Image, n uint64) (uint64, error) {
	return 0, s.drop(0, n)
}

func (dropping) written(_ space, n uint64) ([]span, error) { return []span{{0, n}}, nil }

func (dropping) keepsPages() bool { return false }

// copying is the restorer of Copy.
type copying struct{}

func (copying) restore(s space, img *Image, n uint64) (uint64, error) {
	img.refill(s.bytes(n), 0, img.Stored())
	return img.size, s.drop(img.Stored(), n)
}

func (copying) written(_ space, n uint64) ([]span, error) { return []span{{0, n}}, nil }

func (copying) keepsPages() bool { return false }
