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

// Budget caps the bytes, or other units, that many owners hold together. A zero limit or a nil
// Budget caps nothing. All methods are safe for concurrent use.
type Budget struct {
	limit   uint64
	used    *atomic.Uint64
	reclaim Reclaim
}

// Reclaim makes owners release what they do not need, until n bytes fit into the budget or nothing
// is left to release. It reports whether it released anything.
type Reclaim func(n uint64) bool

// NewBudget returns a budget of limit bytes. With 0 there is no cap, and the budget only counts.
func NewBudget(limit uint64) *Budget {
	return &Budget{limit: limit, used: new(atomic.Uint64)}
}

// For returns the same budget for one owner. [Budget.Reserve] calls reclaim when a reservation of
// this owner would exceed the limit. A nil reclaim does nothing.
func (b *Budget) For(reclaim Reclaim) *Budget {
	return &Budget{limit: b.limit, used: b.used, reclaim: reclaim}
}

// Fits reports whether n more bytes can be reserved now.
func (b *Budget) Fits(n uint64) bool {
	return b == nil || b.limit == 0 || (n <= b.limit && b.used.Load() <= b.limit-n)
}

// Reserve takes n bytes, all or none. It returns a [*BudgetError] if they would exceed the limit
// even after others were asked to release what they can.
func (b *Budget) Reserve(n uint64) error {
	err := b.TryReserve(n)
	for err != nil && b.reclaim != nil && n <= b.limit && b.reclaim(n) {
		err = b.TryReserve(n) // another caller may have been faster
	}
	return err
}

// TryReserve is like [Budget.Reserve], but does not ask others to release anything.
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

// Release gives back n reserved bytes. Giving back more than is in use leaves zero in use: a wrong
// count must not turn into a budget without limit.
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

// BudgetError says that a reservation would have exceeded a [Budget]. The process is short of the
// memory set aside for instances. The owner whose reservation fails may not be the one that uses it
// up.
type BudgetError struct {
	// Limit is the cap, Used the amount in use, and Requested the amount requested on top, all in
	// bytes.
	Limit, Used, Requested uint64
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf(
		"memory budget of %d bytes exceeded: %d in use, %d more requested: raise limits.totalMemory",
		e.Limit, e.Used, e.Requested)
}
