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
)

// keptGrowth is how far beyond the image written pages may stay for the next call. Many guests grow
// a little in every call, and each page given back causes a fault.
const keptGrowth = 16 * PageSize

// Attach sets the range to img, in content and size, and makes Reset return to it. The caller may
// close the image afterwards. Attach releases an image that was attached before.
func (r *Range) Attach(img *Image) error {
	if err := r.usable(); err != nil {
		return err
	}
	if err := r.bound(); err != nil {
		return err
	}
	if img.size > r.limit {
		return fmt.Errorf("attach image: %w", &LimitError{Limit: r.limit, Requested: img.size})
	}
	if err := img.acquire(); err != nil {
		return fmt.Errorf("attach image: %w", err)
	}
	before := *r
	r.image, r.size, r.kept, r.held = img, img.size, 0, img.size
	if r.strategy == Copy {
		r.kept = img.size
	}
	if err := r.charge(); err != nil {
		*r = before
		return errors.Join(fmt.Errorf("attach image: %w", err), img.release())
	}
	var err error
	if before.image != nil {
		err = before.image.release()
	}
	err = errors.Join(err, r.space.overlay(img))
	if err == nil {
		err = r.sync()
	}
	return r.fail("attach image", err)
}

// Bind tells the range about the memory that wazero built on it, so that Reset can change the size
// there, too. It is called once, after the module was instantiated, with [api.Module.Memory] of
// that module or of a module that imports its memory.
//
// wazero v1.12.0 never shrinks a memory, but adopts whatever Reallocate returns. To set the size,
// the host therefore asks for a growth by one page. wazero refuses that if the memory is at its
// declared maximum. The module must therefore declare at least one page more than Limit, or Reset
// fails when it needs that page. Closing a module that imports the memory cuts the memory off from
// its allocator. The range notices this at the next reset that changes the size, and fails.
func (r *Range) Bind(view api.Memory) error {
	if err := r.usable(); err != nil {
		return err
	}
	if r.state != live || r.view != nil {
		return errors.New("bind: the range serves no module yet, or is bound already")
	}
	if view == nil || !r.matches(view) {
		return errors.New("bind: the memory is not the one that was allocated from the range")
	}
	r.view = view
	return nil
}

// Reset restores the image, in content and size, so that the instance's memory holds nothing from
// earlier calls. It gives back what the memory grew by. Written pages in the image part, and in the
// first MiB of growth, may stay private as long as the budget allows. Every later reset then
// restores them. Trim gives them back.
func (r *Range) Reset() error {
	return r.reset(r.restorer)
}

// Trim is like Reset, but leaves no private page except those of Populate. The memory then costs
// nothing until it is written again, but every page written then causes a fault. Occasional calls
// keep the pages of a rare, large call from being held and restored forever. With the strategy
// Copy, whose pages are all private, Trim is the same as Reset.
func (r *Range) Trim() error {
	if r.strategy == Copy {
		return r.reset(r.restorer)
	}
	if err := r.reset(dropping{}); err != nil {
		return err
	}
	r.held = r.size
	return r.fail("trim", r.space.uncommit(r.size))
}

func (r *Range) reset(way restorer) error {
	if err := r.usable(); err != nil {
		return err
	}
	if err := r.bound(); err != nil {
		return err
	}
	if r.image == nil {
		return errors.New("reset: no image is attached to the range")
	}
	return r.fail("reset", r.restore(way))
}

func (r *Range) restore(way restorer) error {
	edge := r.edge()
	if r.size > edge {
		if err := r.space.drop(edge, r.size); err != nil {
			return err
		}
	}
	r.held = min(max(r.held, r.size, r.image.size), edge)
	r.refused = nil
	r.size = r.image.size
	var err error
	if r.kept, err = way.restore(r.space, r.image, r.held); err != nil {
		return err
	}
	if r.charge() != nil {
		// There is no budget for the written pages. Drop them, which works because the image is
		// mapped: with Copy, the charge never rises.
		if r.kept, err = (dropping{}).restore(r.space, r.image, r.held); err != nil {
			return err
		}
		if err := r.charge(); err != nil {
			return err
		}
	}
	if err := r.Populate(nil); err != nil {
		return err
	}
	return r.sync()
}

// bound returns an error if wazero holds the memory but the range does not know where.
func (r *Range) bound() error {
	if r.state != unused && r.view == nil {
		return errors.New("range: in use by a module, but its memory was not bound")
	}
	return nil
}

// sync makes wazero's view agree with the size. See Bind.
func (r *Range) sync() error {
	if r.view == nil || r.matches(r.view) {
		return nil
	}
	r.adopt = true
	_, granted := r.view.Grow(1)
	asked := !r.adopt
	r.adopt = false
	switch {
	case granted && asked && r.matches(r.view):
		return nil
	case asked || granted:
		return errors.New("the memory no longer takes its size from the range")
	default:
		return fmt.Errorf(
			"the memory cannot go back from %d to %d bytes: its declared maximum leaves no spare page",
			r.view.Size(), r.size)
	}
}

// matches reports whether wazero's view is the range's memory in its current size.
func (r *Range) matches(view api.Memory) bool {
	if uint64(view.Size()) != r.size {
		return false
	}
	// Even a slice of length zero points to where it begins.
	b, ok := view.Read(0, 0)
	return ok && unsafe.SliceData(b) == r.base()
}

// fail records err, if any, as the end of the range.
func (r *Range) fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	r.failed = fmt.Errorf("%s: %w", doing, err)
	return r.failed
}
