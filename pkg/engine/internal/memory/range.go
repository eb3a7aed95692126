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

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// Options describes a [Range].
type Options struct {
	// Limit is the maximum size of the memory in bytes, a multiple of PageSize up to MaxLimit. The
	// range reserves that much address space, but not memory.
	Limit uint64

	// Size is the initial size in bytes, at most Limit: the minimum that the module declares.
	// Attach replaces it with the size of the image. Reserving the size here, rather than when
	// wazero asks for it, reports a lack of budget as an error.
	Size uint64

	// Strategy selects how Reset works. The default is Auto.
	Strategy Strategy

	// Budget is the budget from which the memory is reserved. Nil counts nothing.
	Budget *Budget

	// Interrupted is called for every MiB while a guest grows its memory. If it returns an error,
	// the growth is refused. With Interrupted, grown memory is backed before the guest touches it,
	// where the system supports that, except for the first MiB beyond the image if resets keep it.
	// Nil means that each page is backed on first access.
	Interrupted func() error

	// Lazy is the number of bytes of the memory at the beginning of a call that may be backed on
	// first access. Populate backs the memory beyond, which then stays backed. Zero means all.
	Lazy uint64
}

// Range is the linear memory of one module instance. It implements [experimental.LinearMemory], and
// [experimental.MemoryAllocator] for the one memory of that instance: the instance's own, or that
// of the module from which it imports the memory.
//
// A range belongs to one goroutine at a time, like the instance. Its methods may be called only
// between calls of the guest, except Reallocate, which wazero calls when the guest grows its
// memory.
//
// Attach, Reset, and Trim may also be called inside a host function, for example for a guest that
// is parked there and rewound. However, a guest function that was running while the memory was
// larger than the image must then not continue. Compiled code reloads the size of the memory when
// the host function returns. But it does not recheck an address that the same function already
// found within bounds (wazero v1.12.0), because to it, memories never shrink. It would access
// memory that was given back, which after Trim ends the process with SIGSEGV.
//
// After an error from Attach, Reset, or Trim, the content is undefined and the instance must not
// run again.
type Range struct {
	limit    uint64
	strategy Strategy
	budget   *Budget
	// interrupted is Options.Interrupted.
	interrupted func() error
	lazy        uint64
	space       space
	restorer    restorer

	image   *Image
	size    uint64 // length of the linear memory; the space beyond it is zero or uncommitted
	kept    uint64 // private bytes that the last reset found and kept
	held    uint64 // upper bound of the addresses that the last reset left private
	charged uint64 // bytes reserved from budget

	state   state
	view    api.Memory // wazero's memory, once bound
	adopt   bool       // the next Reallocate returns the current size
	refused error      // why the last growth was refused
	failed  error      // what made the content undefined
}

// state is the stage in the life of a range.
type state int

const (
	unused    state = iota // no module yet
	allocated              // Allocate was called, Reallocate not yet
	live                   // wazero holds the memory
	closed
)

var (
	_ experimental.MemoryAllocator = (*Range)(nil)
	_ experimental.LinearMemory    = (*Range)(nil)
)

// NewRange reserves a range. It returns a [*BudgetError] if the budget has no room.
func NewRange(o Options) (*Range, error) {
	if err := errors.Join(checkSize("limit of linear memory", o.Limit),
		checkSize("size of linear memory", o.Size)); err != nil {
		return nil, err
	}
	if o.Size > o.Limit {
		return nil, &LimitError{Limit: o.Limit, Requested: o.Size}
	}
	strategy, err := Resolve(o.Strategy)
	if err != nil {
		return nil, err
	}
	s, way, err := open(strategy, o.Limit)
	if err != nil {
		return nil, err
	}
	return newRange(o, strategy, s, way)
}

func newRange(o Options, strategy Strategy, s space, way restorer) (*Range, error) {
	r := &Range{
		limit:       o.Limit,
		strategy:    strategy,
		budget:      o.Budget,
		interrupted: o.Interrupted,
		lazy:        o.Lazy,
		space:       s,
		restorer:    way,
	}
	if err := r.resize(o.Size); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Strategy returns the strategy in use. It never returns Auto.
func (r *Range) Strategy() Strategy { return r.strategy }

// LimitError says that a linear memory would have grown beyond the limit of its [Range].
type LimitError struct {
	// Limit is the maximum size of the memory, Requested the requested size, both in bytes.
	Limit, Requested uint64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf(
		"linear memory limit of %d bytes exceeded: %d requested: raise limits.memory", e.Limit,
		e.Requested)
}

// Usage is the memory that a range takes, in bytes.
type Usage struct {
	// Size is the current length of the linear memory.
	Size uint64
	// Private is the memory that the range does not share: what the last reset left private, plus
	// everything by which the memory has grown since. Strategies that search for written pages find
	// the exact number, except that Pagemap may count zero pages that were only read. Madvise
	// leaves none, and Copy counts the whole image. The budget reserves the same number: pages of
	// the image part count from the reset after the call that wrote them.
	Private uint64
}

// Usage returns the range's current usage.
func (r *Range) Usage() Usage {
	return Usage{Size: r.size, Private: r.private()}
}

// Refused returns why the guest's last growth was refused: a [*LimitError], a [*BudgetError], or an
// error of the system. It returns nil if all growth was granted since the last reset. The guest
// only sees memory.grow fail, and then often traps.
func (r *Range) Refused() error { return r.refused }

// Allocate implements [experimental.MemoryAllocator]. It ignores its arguments and uses the range's
// limit. The interface has no error, so Allocate panics if the range is closed or already serves a
// module.
func (r *Range) Allocate(_, _ uint64) experimental.LinearMemory {
	if r.state != unused {
		panic(errors.New("memory: a range serves only one module, and none after it is closed"))
	}
	r.state = allocated
	return r
}

// Reallocate implements [experimental.LinearMemory]. It sets the size of the memory and returns the
// memory, or nil if the limit, the budget, or the system does not allow the size. On Linux, the
// address never changes. The size may also shrink: what is cut off is zero if the memory grows
// again.
//
// In its first call, wazero asks for the declared minimum. If the current size is larger, wazero
// gets that, so a module starts with a whole attached image. wazero panics if the first call
// returns nil. Callers must therefore ensure that the minimum is within Limit, and reserve it with
// Size or Attach.
func (r *Range) Reallocate(size uint64) []byte {
	switch {
	case r.state == closed || r.failed != nil:
		return nil
	case r.adopt:
		r.adopt = false
		return r.space.bytes(r.size)
	case r.state == allocated && size < r.size:
		size = r.size
	}
	if r.state == allocated {
		r.state = live
	}
	resize := r.grow
	if size < r.size {
		resize = r.shrink
	}
	if err := resize(size); err != nil {
		r.refused = err
		return nil
	}
	return r.space.bytes(r.size)
}

// Free implements [experimental.LinearMemory] and does nothing. wazero calls it when the module is
// closed, but a call to a function of a closed module still runs. With an unmapped memory, that
// call would end the process with SIGSEGV. The owner calls Close when nothing can call the module
// anymore.
func (r *Range) Free() {}

// grow extends the memory to size bytes, at least its current size, and backs the new part beyond
// what a reset keeps. There, a page that the guest touches stays backed, so later calls do not wait
// for it, and a page that no call touches costs no reset anything.
func (r *Range) grow(size uint64) error {
	before := r.size
	if err := r.resize(size); err != nil || r.interrupted == nil {
		return err
	}
	if err := r.back(max(before, r.keptSize()), size, r.interrupted); err != nil {
		err = errors.Join(err, r.space.drop(max(before, r.storedSize()), size))
		r.size = before
		return errors.Join(err, r.charge())
	}
	return nil
}

// resize extends the memory to size bytes, at least its current size.
func (r *Range) resize(size uint64) error {
	if size > r.limit {
		return &LimitError{Limit: r.limit, Requested: size}
	}
	before := r.size
	r.size = size
	err := r.charge()
	if err == nil {
		err = r.space.commit(size)
	}
	if err != nil {
		r.size = before
		return errors.Join(err, r.charge())
	}
	return nil
}

// back makes the system back [lo, hi) before the guest touches it. Otherwise, a guest that touches
// a new page waits for the kernel in the middle of its code, where the garbage collector cannot
// stop it: 100 MiB of pages take a tenth of a second.
func (r *Range) back(lo, hi uint64, interrupted func() error) error {
	const piece = 1 << 20
	for ; lo < hi; lo += piece {
		if err := interrupted(); err != nil {
			return err
		}
		r.space.populate(lo, min(lo+piece, hi))
	}
	return nil
}

// Populate backs the memory beyond [Options].Lazy as private memory. It is for new instances: Reset
// and Trim keep that memory backed. If interrupted is not nil, Populate calls it before each MiB
// and stops if it returns an error. Other errors mean a lack of budget.
func (r *Range) Populate(interrupted func() error) error {
	if r.lazy == 0 || r.size <= r.lazy {
		return nil
	}
	if r.image != nil { // else the whole memory counts as private
		r.kept = max(r.kept, r.size-r.lazy)
	}
	if err := r.charge(); err != nil {
		return err
	}
	if interrupted == nil {
		interrupted = func() error { return nil }
	}
	return r.back(r.lazy, r.size, interrupted)
}

// SetLazy sets [Options].Lazy for the image that is attached now.
func (r *Range) SetLazy(lazy uint64) { r.lazy = lazy }

// shrink reduces the memory to size bytes, less than its current size.
func (r *Range) shrink(size uint64) error {
	// Dropping pages of the image part would bring back the image instead of zeros.
	if stored := r.storedSize(); size < stored {
		clear(r.space.bytes(min(r.size, stored))[size:])
	}
	if lo := max(size, r.storedSize()); lo < r.size {
		if err := r.space.drop(lo, r.size); err != nil {
			return err
		}
	}
	r.size = size
	return r.charge()
}

// Capture makes an image of the current content, reserved from the range's budget. The caller must
// close it.
func (r *Range) Capture() (*Image, error) {
	if err := r.usable(); err != nil {
		return nil, err
	}
	touched, err := r.touched(nil)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	var segments []Segment
	for _, s := range touched {
		segments = appendContent(segments, r.space.bytes(r.size), s)
	}
	return NewImage(r.size, r.budget, segments...)
}

// touched returns where the memory, or the image beside, may hold anything but zeros. It does not
// read the rest of the memory, because reading would make the kernel allocate pages.
func (r *Range) touched(beside *Image) ([]span, error) {
	spans, err := r.restorer.written(r.space, r.size)
	for _, img := range []*Image{r.image, beside} {
		if img == nil {
			continue
		}
		for _, part := range img.parts {
			if part.lo < r.size {
				spans = append(spans, span{part.lo, min(part.hi, r.size)})
			}
		}
	}
	return merge(spans), err
}

// Close unmaps the range and releases its reservation. Nothing may use the memory afterwards: a
// call into its module, even a closed one, would end the process. Closing it again does nothing.
func (r *Range) Close() error {
	if r.state == closed {
		return nil
	}
	r.state = closed
	r.view, r.size, r.kept = nil, 0, 0
	errs := []error{r.charge(), r.space.close()}
	if r.image != nil {
		errs = append(errs, r.image.release())
		r.image = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close range: %w", err)
	}
	return nil
}

// usable returns an error if the range cannot be used.
func (r *Range) usable() error {
	if r.state == closed {
		return fmt.Errorf("range: %w", ErrClosed)
	}
	return r.failed
}

// edge returns the size up to which a reset may keep the pages that a call wrote. Without an image,
// there is no reset.
func (r *Range) edge() uint64 {
	if r.image == nil {
		return 0
	}
	return r.image.size + keptGrowth
}

// keptSize is the edge if resets keep pages, and 0 otherwise.
func (r *Range) keptSize() uint64 {
	if r.restorer.keepsPages() {
		return r.edge()
	}
	return 0
}

func (r *Range) imageSize() uint64 {
	if r.image == nil {
		return 0
	}
	return r.image.size
}

func (r *Range) storedSize() uint64 {
	if r.image == nil {
		return 0
	}
	return r.image.Stored()
}

func (r *Range) private() uint64 {
	return r.kept + r.size - min(r.size, r.imageSize())
}

// charge adjusts the budget reservation to the private bytes. Only an increase can fail.
func (r *Range) charge() error {
	want := r.private()
	if want > r.charged {
		if err := r.budget.Reserve(want - r.charged); err != nil {
			return err
		}
	} else {
		r.budget.Release(r.charged - want)
	}
	r.charged = want
	return nil
}

// base returns the address of the memory.
func (r *Range) base() *byte { return unsafe.SliceData(r.space.bytes(0)) }
