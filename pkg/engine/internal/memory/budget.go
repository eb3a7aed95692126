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
	"sync/atomic"
)

// Budget caps the bytes, or whatever else it counts, that many owners hold together. The zero limit and the nil Budget
// cap nothing. All methods are safe for concurrent use.
type Budget struct {
	limit   uint64
	used    *atomic.Uint64
	reclaim Reclaim
}

// Reclaim has owners release what they can do without, until n bytes fit into the budget or there is nothing left to
// release. It reports whether anything was released.
type Reclaim func(n uint64) bool

// NewBudget returns a budget of limit bytes; 0 means that there is no cap and the budget only counts.
func NewBudget(limit uint64) *Budget {
	return &Budget{limit: limit, used: new(atomic.Uint64)}
}

// For returns the same budget for an owner: reclaim is called by [Budget.Reserve] when a reservation of this owner would
// exceed the limit. Nil does nothing.
func (b *Budget) For(reclaim Reclaim) *Budget {
	return &Budget{limit: b.limit, used: b.used, reclaim: reclaim}
}

// Fits reports whether n more bytes can be reserved as things are.
func (b *Budget) Fits(n uint64) bool {
	return b == nil || b.limit == 0 || (n <= b.limit && b.used.Load() <= b.limit-n)
}

// Reserve takes n bytes, all or none. If they would exceed the limit even after others were asked to release what they
// can, the error is a [*BudgetError].
func (b *Budget) Reserve(n uint64) error {
	err := b.TryReserve(n)
	for err != nil && b.reclaim != nil && n <= b.limit && b.reclaim(n) {
		err = b.TryReserve(n) // another one may have been faster
	}
	return err
}

// TryReserve is [Budget.Reserve] for those that can do without: nobody else is asked to release anything.
func (b *Budget) TryReserve(n uint64) error {
	if b == nil || n == 0 {
		return nil
	}
	for {
		used := b.used.Load()
		sum := used + n
		if sum < used || (b.limit != 0 && sum > b.limit) {
			return &BudgetError{Limit: b.limit, Used: used, Requested: n}
		}
		if b.used.CompareAndSwap(used, sum) {
			return nil
		}
	}
}

// Release gives back n bytes that were reserved before. Giving back more than is in use leaves zero: a wrong count must
// not turn into a budget without end.
func (b *Budget) Release(n uint64) {
	if b == nil || n == 0 {
		return
	}
	for {
		used := b.used.Load()
		if b.used.CompareAndSwap(used, used-min(n, used)) {
			return
		}
	}
}

// Used returns the bytes in use.
func (b *Budget) Used() uint64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// Limit returns the cap in bytes; 0 means none.
func (b *Budget) Limit() uint64 {
	if b == nil {
		return 0
	}
	return b.limit
}

// BudgetError says that a reservation would have exceeded a [Budget]. The process is short of memory that is set aside
// for instances; the one that asked need not be the one that took it.
type BudgetError struct {
	// Limit is the cap, Used what was in use, Requested what was asked for on top, all in bytes.
	Limit, Used, Requested uint64
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("memory budget of %d bytes exceeded: %d in use, %d more requested: raise limits.totalMemory", e.Limit, e.Used, e.Requested)
}
