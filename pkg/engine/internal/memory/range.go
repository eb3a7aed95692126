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

// Options say how a [Range] is made.
type Options struct {
	// Limit is the largest size of the memory in bytes, a multiple of PageSize up to MaxLimit. Address space is
	// reserved for it, memory is not.
	Limit uint64

	// Size is the size in bytes to start with, at most Limit: what the module declares as its minimum. Attach replaces
	// it by the size of the image. Reserving it here rather than when wazero asks makes a lack of budget an error.
	Size uint64

	// Strategy is how Reset works; the default is Auto.
	Strategy Strategy

	// Budget is what the memory is reserved from; nil means that nothing is counted.
	Budget *Budget

	// Interrupted is asked while a guest grows its memory, for every MiB: an error ends that, and the growth is refused
	// with it. It has grown memory backed before the guest touches it, where the system can do so. Nil means that each
	// page is backed when it is touched.
	Interrupted func() error

	// Lazy is how many bytes of the memory that is there when a call begins may be backed when they are touched. What
	// lies beyond is backed by Populate and stays so. Zero means all.
	Lazy uint64
}

// Range is the linear memory of one module instance. It implements [experimental.MemoryAllocator], for the one memory of
// that instance (its own, or that of the module that it imports the memory from), and [experimental.LinearMemory].
//
// A range belongs to one goroutine at a time, like the instance. Apart from Reallocate, which wazero calls when the
// guest grows its memory, its methods are for times between calls.
//
// Attach, Reset and Trim may also be called inside a host function, as for a guest that is parked there and rewound. But
// no function of the guest may then go on that was running while the memory was larger than the image. Compiled
// code loads the size of the memory anew when the host function returns, but it does not check an address again that the same
// function found within bounds before (wazero v1.12.0): to it, memories never shrink. It would reach into memory that is
// given back, which after Trim ends the process with SIGSEGV.
//
// After an error from Attach, Reset or Trim the content is not defined: the instance must not run again.
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
	size    uint64 // current length of the linear memory. What the space holds beyond is zero or not committed
	kept    uint64 // private bytes that the last reset found and left
	held    uint64 // what the last reset left private lies below this
	charged uint64 // what is reserved from budget

	state   state
	view    api.Memory // wazero's side, once bound
	adopt   bool       // the next Reallocate answers with the size as it is
	refused error      // why the last growth was refused
	failed  error      // what made the content undefined
}

// state is how far the life of a range has come.
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

// NewRange reserves a range. A lack of budget is a [*BudgetError].
func NewRange(o Options) (*Range, error) {
	if err := errors.Join(checkSize("limit of linear memory", o.Limit), checkSize("size of linear memory", o.Size)); err != nil {
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
	r := &Range{limit: o.Limit, strategy: strategy, budget: o.Budget, interrupted: o.Interrupted, lazy: o.Lazy, space: s, restorer: way}
	if err := r.resize(o.Size); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Strategy returns the strategy in use, never Auto.
func (r *Range) Strategy() Strategy { return r.strategy }

// LimitError says that a linear memory would have grown beyond the limit of its [Range].
type LimitError struct {
	// Limit is the largest size of the memory, Requested the size that was asked for, both in bytes.
	Limit, Requested uint64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("linear memory limit of %d bytes exceeded: %d requested: raise limits.memory", e.Limit, e.Requested)
}

// Usage is what a range takes, in bytes.
type Usage struct {
	// Size is the current length of the linear memory.
	Size uint64
	// Private is the memory that the range shares with nobody: what the last reset left private, and everything that
	// the memory grew by since. The strategies that look for written pages find the exact number (Pagemap may count
	// pages of zeros that were only read), Madvise leaves none, and Copy counts the whole image. This is also what is
	// reserved from the budget: pages of the image part count from the reset after the call that wrote them.
	Private uint64
}

// Usage returns what the range takes now.
func (r *Range) Usage() Usage {
	return Usage{Size: r.size, Private: r.private()}
}

// Refused returns why the last growth that the guest asked for was refused, as a [*LimitError], a [*BudgetError] or an
// error of the system, or nil if all were granted since the last reset. The guest itself only sees memory.grow fail,
// and then often traps.
func (r *Range) Refused() error { return r.refused }

// Allocate implements [experimental.MemoryAllocator]. It takes no account of its arguments: the limit is that of the
// range. As the interface has no error, it panics if the range was closed or serves another module already.
func (r *Range) Allocate(_, _ uint64) experimental.LinearMemory {
	if r.state != unused {
		panic(errors.New("memory: a range serves one module only, and none once closed"))
	}
	r.state = allocated
	return r
}

// Reallocate implements [experimental.LinearMemory]: it sets the size of the memory and returns it, or nil if the limit,
// the budget or the system do not allow the size. The address never changes (on Linux). Smaller sizes are possible:
// what is cut off is zero if the memory grows again.
//
// In the first call wazero asks for the declared minimum, and gets the current size if that is larger: so a module
// starts with the whole of an image that was attached before. It panics if that call returns nil. Callers therefore
// make sure that the minimum is within Limit, and reserve it with Size or by Attach.
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

// Free implements [experimental.LinearMemory] and does nothing. wazero calls it when the module is closed, but calling
// a function of a closed module runs it all the same: if its memory were unmapped, that would end the process with
// SIGSEGV. The owner calls Close when nothing can call the module any more.
func (r *Range) Free() {}

// grow makes the memory size bytes long, which is not less than now, and has what was grown backed.
func (r *Range) grow(size uint64) error {
	before := r.size
	if err := r.resize(size); err != nil || r.interrupted == nil {
		return err
	}
	if err := r.back(before, size, r.interrupted); err != nil {
		err = errors.Join(err, r.space.drop(max(before, r.storedSize()), size))
		r.size = before
		return errors.Join(err, r.charge())
	}
	return nil
}

// resize makes the memory size bytes long, which is not less than now.
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

// back has the system back [lo, hi) before the guest touches it. A guest that touches a new page waits for the kernel in
// the midst of its code, where the garbage collector cannot stop it: 100 MiB of pages are a tenth of a second.
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

// Populate has the system back the memory beyond [Options].Lazy, as private memory. It is for an instance that is made:
// Reset and Trim leave the memory so. Interrupted is asked before each MiB, if it is not nil: its error ends the work.
// Other errors are a lack of budget.
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

// SetLazy sets what [Options].Lazy says for the image that is attached now.
func (r *Range) SetLazy(lazy uint64) { r.lazy = lazy }

// shrink makes the memory size bytes long, which is less than now.
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

// Capture makes an image of the current content, which is reserved from the budget of the range. The caller closes it.
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

// touched returns where the memory, or an image beside the one that is attached, may hold anything but zeros. The
// memory is not read elsewhere: that would have the kernel make pages.
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

// Close unmaps the range and gives back what it reserved. Nothing may use the memory any more: a call into its module,
// even a closed one, would end the process. Closing again is allowed and does nothing.
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

// usable returns why the range cannot be used, if so.
func (r *Range) usable() error {
	if r.state == closed {
		return fmt.Errorf("range: %w", ErrClosed)
	}
	return r.failed
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

// charge brings what is reserved from the budget in line with the private bytes. Only an increase can fail.
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

// base is the address of the memory.
func (r *Range) base() *byte { return unsafe.SliceData(r.space.bytes(0)) }
