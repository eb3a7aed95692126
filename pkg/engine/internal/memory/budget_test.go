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
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBudget(t *testing.T) {
	b := NewBudget(100)
	require.NoError(t, b.Reserve(60))
	err := b.Reserve(41)
	var exceeded *BudgetError
	require.ErrorAs(t, err, &exceeded)
	require.Equal(t, BudgetError{Limit: 100, Used: 60, Requested: 41}, *exceeded)
	require.EqualError(t, err,
		"memory budget of 100 bytes exceeded: 60 in use, 41 more requested: raise limits.totalMemory")
	require.NoError(t, b.Reserve(40))
	require.Error(t, b.Reserve(math.MaxUint64), "the sum must not wrap")
	require.Equal(t, uint64(100), b.Used())
	b.Release(30)
	require.Equal(t, uint64(70), b.Used())
	b.Release(71)
	require.Zero(t, b.Used(), "a wrong count does not wrap")
	require.Equal(t, uint64(100), b.Limit())
}

func TestBudgetWithoutLimit(t *testing.T) {
	b := NewBudget(0)
	require.NoError(t, b.Reserve(1<<62))
	require.Equal(t, uint64(1<<62), b.Used())

	var none *Budget
	require.NoError(t, none.Reserve(1<<62))
	none.Release(1)
	require.Zero(t, none.Used())
	require.Zero(t, none.Limit())
}

func TestBudgetConcurrently(t *testing.T) {
	b := NewBudget(10)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 1000 {
				if b.Reserve(3) == nil {
					if b.Used() > 10 {
						t.Error("more in use than the limit")
					}
					b.Release(3)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, b.Used())
}

// TestBudgetReclaims makes one owner release what another needs.
func TestBudgetReclaims(t *testing.T) {
	var calls int
	var b *Budget
	held := uint64(60)
	b = NewBudget(100)
	b = b.For(func(n uint64) bool {
		calls++
		require.False(t, b.Fits(n))
		released := held > 0
		b.Release(held)
		held = 0
		return released
	})
	require.NoError(t, b.Reserve(60))
	require.NoError(t, b.Reserve(40))
	require.Zero(t, calls, "nobody is asked to release before that is needed")
	require.NoError(t, b.Reserve(50))
	require.Equal(t, 1, calls)
	require.EqualValues(t, 90, b.Used())
	require.Error(t, b.Reserve(101))
	require.Equal(t, 1, calls, "nobody is asked to release for a request that can never fit")
	require.Error(t, b.Reserve(50))
	require.Equal(t, 2, calls)
	require.EqualValues(t, 90, b.Used())
}
