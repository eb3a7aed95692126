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

// Strategy names a way to set a range back to its image.
type Strategy string

const (
	// Auto is the best strategy that the system allows.
	Auto Strategy = ""

	// PagemapScan asks the kernel for the pages that were written, with the ioctl PAGEMAP_SCAN on /proc/self/pagemap
	// (Linux 6.7 and later), and copies the image over them. They stay mapped, so that writing to them again does
	// not fault.
	PagemapScan Strategy = "pagemap_scan"

	// Pagemap does the same, but reads an entry of /proc/self/pagemap for every page. A process that is not dumpable,
	// such as one with file capabilities that does not run as root, can use neither this nor PagemapScan.
	Pagemap Strategy = "pagemap"

	// Madvise drops the private pages of the whole range, with MADV_DONTNEED. The next write to each page faults and
	// copies it, but a range at rest holds no private memory.
	Madvise Strategy = "madvise"

	// Copy copies the whole image. It works everywhere, and its ranges share nothing.
	Copy Strategy = "copy"
)

// Support says whether the system allows a strategy.
type Support struct {
	Strategy Strategy
	// Err says why not; nil means that it works. It wraps errors.ErrUnsupported where the system has nothing like it.
	Err error
}

// Probe tries every strategy on a small range, once per process, and returns them all, best first. Copy always works.
// It is safe for concurrent use; the caller must not change the result.
var Probe = sync.OnceValue(func() []Support {
	all := []Strategy{PagemapScan, Pagemap, Madvise, Copy}
	support := make([]Support, len(all))
	for i, s := range all {
		support[i] = Support{Strategy: s, Err: try(s)}
	}
	return support
})

// Resolve returns the strategy that s stands for: itself, or the best for [Auto]. An error says why the system does not
// allow it, or that there is none of that name.
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
	return "", fmt.Errorf("there is no way to reset memory that is called %q", string(s))
}

// try runs a strategy for real: what a kernel, a sandbox or an emulation of Linux claims to have is not enough to stake
// the isolation of requests on.
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

// restorer is the part of a strategy that differs.
type restorer interface {
	// restore makes the first n bytes of s what img holds, and zero beyond its size. It returns how many of them are
	// private memory afterwards. n is not less than the size of img.
	restore(s space, img *Image, n uint64) (uint64, error)
	// written returns where the first n bytes of s may have been written since they were the image's, or zero.
	written(s space, n uint64) ([]span, error)
}

// dropping is the restorer of Madvise, and of Trim: the image is mapped, so that dropping a page brings it back.
type dropping struct{}

func (dropping) restore(s space, _ *Image, n uint64) (uint64, error) {
	return 0, s.drop(0, n)
}

func (dropping) written(_ space, n uint64) ([]span, error) { return []span{{0, n}}, nil }

// copying is the restorer of Copy.
type copying struct{}

func (copying) restore(s space, img *Image, n uint64) (uint64, error) {
	img.refill(s.bytes(n), 0, img.Stored())
	return img.size, s.drop(img.Stored(), n)
}

func (copying) written(_ space, n uint64) ([]span, error) { return []span{{0, n}}, nil }
