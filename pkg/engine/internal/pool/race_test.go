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

package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A grant comes as the waiter's context ends, and select chooses randomly which of them the waiter
// sees. The granted value or place must be returned or passed on to the next caller in line, if
// any.
func TestGrantsCrossCancellation(t *testing.T) {
	for _, test := range []struct {
		name  string
		grant func(p *Pool[int])
		next  int // what the next caller in line gets
	}{
		{"value", func(p *Pool[int]) { p.Put(1) }, 1},
		{"place", func(p *Pool[int]) { p.Drop(1) }, 2},
	} {
		for _, others := range []bool{false, true} {
			seen := map[bool]int{} // by whether the waiter was served
			for range 200 {
				made := 0
				p, err :=
					New(Options[int]{Max: 1, MaxWaiters: 2,
						Make: func(context.Context) (int, error) {
							made++
							return made, nil
						}})
				require.NoError(t, err)
				_, err = p.Get(t.Context())
				require.NoError(t, err)

				w := &waiter[int]{granted: make(chan grant[int], 1)}
				element := p.waiters.PushBack(w)
				next := &waiter[int]{granted: make(chan grant[int], 1)}
				if others {
					p.waiters.PushBack(next)
				}
				ctx, cancel := context.WithCancel(t.Context())
				test.grant(p)
				cancel()
				v, err := p.wait(ctx, w, element)
				seen[err == nil]++
				if err == nil {
					require.Equal(t, test.next, v)
					p.Put(v)
				} else {
					require.ErrorIs(t, err, context.Canceled)
				}
				if others {
					v, err = p.take(t.Context(), <-next.granted)
					require.NoError(t, err)
					require.Equal(t, test.next, v)
					p.Put(v)
				}
				require.Zero(t, p.Stats().InUse)
				require.Zero(t, p.Stats().Waiting)
				p.Close()
			}
			require.Len(t, seen, 2, "%s: both outcomes happen: %v", test.name, seen)
		}
	}
}

// instance notices when two goroutines use it at once, or when one uses it after its end.
type instance struct{ state atomic.Int32 }

const (
	idle int32 = iota
	inUse
	destroyed
)

// hammered counts what a pool does to its instances.
type hammered struct {
	existing, made, destroyed, wrong atomic.Int64
}

func (h *hammered) make(context.Context) (*instance, error) {
	if h.existing.Add(1) > 4 { // the place is taken while the instance is made
		h.wrong.Add(1)
	}
	if rand.IntN(4) == 0 {
		h.existing.Add(-1)
		return nil, errors.New("make failed")
	}
	h.made.Add(1)
	return &instance{}, nil
}

func (h *hammered) destroy(i *instance) {
	if !i.state.CompareAndSwap(idle, destroyed) {
		h.wrong.Add(1)
	}
	h.destroyed.Add(1)
	h.existing.Add(-1)
}

func (h *hammered) evaluate(ctx context.Context, p *Pool[*instance]) {
	i, err := p.Get(ctx)
	if err != nil {
		return
	}
	if !i.state.CompareAndSwap(idle, inUse) {
		h.wrong.Add(1)
	}
	if !i.state.CompareAndSwap(inUse, idle) {
		h.wrong.Add(1)
	}
	if rand.IntN(5) == 0 {
		p.Drop(i)
		return
	}
	p.Put(i)
}

// A thousand goroutines share four places, with failures, drops, cancellations, shedding, and
// trimming. There must never be more than four instances, no instance may be used twice at once,
// and no place may be lost.
func TestHammer(t *testing.T) {
	h := &hammered{}
	p, err := New(Options[*instance]{Max: 4, MaxWaiters: 900, Make: h.make, Destroy: h.destroy})
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			for range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				switch rand.IntN(6) {
				case 0:
					all.Go(cancel)
				case 1:
					p.Trim(rand.IntN(4))
				}
				h.evaluate(ctx, p)
				cancel()
			}
		})
	}
	all.Wait()
	require.Zero(t, h.wrong.Load())
	stats := p.Stats()
	require.Zero(t, stats.InUse)
	require.Zero(t, stats.Waiting)
	require.EqualValues(t, h.made.Load(), stats.Made)

	var held []*instance
	for len(held) < 4 { // making one sometimes fails
		if i, err := p.Get(t.Context()); err == nil {
			held = append(held, i)
		}
	}
	for _, i := range held {
		p.Put(i)
	}
	p.Close()
	require.Equal(t, h.made.Load(), h.destroyed.Load())
	require.Zero(t, h.existing.Load())
}

// Closing under load must end, too, with everything destroyed.
func TestCloseUnderLoad(t *testing.T) {
	for range 20 {
		h := &hammered{}
		p, err := New(Options[*instance]{Max: 4, MaxWaiters: 100, Make: h.make, Destroy: h.destroy})
		require.NoError(t, err)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for range 20 {
					h.evaluate(t.Context(), p)
				}
			})
		}
		p.Close()
		require.Zero(t, h.existing.Load())
		require.Equal(t, h.made.Load(), h.destroyed.Load())
		all.Wait()
		require.Zero(t, h.existing.Load())
		require.Zero(t, h.wrong.Load())
	}
}
