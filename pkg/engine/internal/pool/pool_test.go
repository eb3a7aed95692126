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

package pool_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/pool"
)

// workshop makes numbered values, starting at 1, and records which it destroyed.
type workshop struct {
	made      int
	destroyed []int
	err       error
}

func (w *workshop) options(most, waiters int) pool.Options[int] {
	return pool.Options[int]{
		Max:        most,
		MaxWaiters: waiters,
		Make: func(context.Context) (int, error) {
			if w.err != nil {
				return 0, w.err
			}
			w.made++
			return w.made, nil
		},
		Destroy: func(v int) { w.destroyed = append(w.destroyed, v) },
	}
}

func newPool(t *testing.T, o pool.Options[int]) *pool.Pool[int] {
	t.Helper()
	p, err := pool.New(o)
	require.NoError(t, err)
	return p
}

func get(t *testing.T, p *pool.Pool[int]) int {
	t.Helper()
	v, err := p.Get(t.Context())
	require.NoError(t, err)
	return v
}

// result is the result of a Get in another goroutine.
type result struct {
	who   int
	value int
	err   error
}

// line calls Get in n goroutines, each of which waits before the next begins. It must be called in
// a synctest bubble.
func line(ctx context.Context, p *pool.Pool[int], n int) <-chan result {
	results := make(chan result, n)
	for who := range n {
		go func() {
			v, err := p.Get(ctx)
			results <- result{who, v, err}
		}()
		synctest.Wait()
	}
	return results
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		name    string
		options pool.Options[int]
		err     string
	}{
		{"no values", pool.Options[int]{}, "at most 0 values"},
		{"negative waiters", pool.Options[int]{Max: 1, MaxWaiters: -1}, "at most -1 waiters"},
		{"no Make", pool.Options[int]{Max: 1}, "needs a function that makes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := pool.New(test.options)
			require.ErrorContains(t, err, test.err)
		})
	}
}

func TestTheLastUsedIsTheNext(t *testing.T) {
	p := newPool(t, (&workshop{}).options(3, 0))
	require.Equal(t, []int{1, 2, 3}, []int{get(t, p), get(t, p), get(t, p)})
	p.Put(2)
	p.Put(3)
	p.Put(1)
	require.Equal(t, []int{1, 3, 2}, []int{get(t, p), get(t, p), get(t, p)})
	require.Equal(t, pool.Stats{InUse: 3, Made: 3}, p.Stats())
}

// Callers are served in order of arrival, whether values are put back or dropped.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, (&workshop{}).options(1, 10))
		v := get(t, p)
		results := line(t.Context(), p, 10)
		require.Equal(t, pool.Stats{InUse: 1, Waiting: 10, Made: 1}, p.Stats())
		for who := range 10 {
			want := v
			if who%3 == 0 {
				p.Drop(v)
				want = v + 1
			} else {
				p.Put(v)
			}
			r := <-results
			require.Equal(t, result{who, want, nil}, r)
			v = r.value
			synctest.Wait()
			require.Empty(t, results, "one value serves one caller")
		}
	})
}

// A caller that arrives while others wait does not get a returned value.
func TestNobodyJumpsTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, (&workshop{}).options(1, 1))
		v := get(t, p)
		first := line(t.Context(), p, 1)
		p.Put(v)
		// The first goroutine may not have run yet, but it owns the value already.
		require.Equal(t, pool.Stats{InUse: 1, Made: 1}, p.Stats())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, result{0, v, nil}, <-first)
	})
}

func TestFailedMakeWakesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failure := errors.New("no memory")
		w := &workshop{}
		p := newPool(t, w.options(1, 3))
		v := get(t, p)
		results := line(t.Context(), p, 3)
		w.err = failure
		p.Drop(v)
		for who := range 3 {
			require.Equal(t, result{who, 0, failure}, <-results)
		}
		synctest.Wait()
		require.Equal(t, pool.Stats{Made: 1}, p.Stats())
		w.err = nil
		require.Equal(t, 2, get(t, p))
	})
}

func TestPanicInMakeFreesThePlace(t *testing.T) {
	w := &workshop{}
	o := w.options(1, 0)
	works, panics := o.Make, true
	o.Make = func(ctx context.Context) (int, error) {
		if panics {
			panic("out of order")
		}
		return works(ctx)
	}
	p := newPool(t, o)
	require.PanicsWithValue(t, "out of order", func() { _, _ = p.Get(t.Context()) })
	panics = false
	require.Equal(t, 1, get(t, p))
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, (&workshop{}).options(1, 3))
		v := get(t, p)
		first := line(t.Context(), p, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		second := line(ctx, p, 1)
		third := line(t.Context(), p, 1)

		r := <-second
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.EqualError(t, r.err,
			"waited 3s, one of 3 in line, for one of 1 values: context deadline exceeded")
		require.Equal(t, 2, p.Stats().Waiting)

		p.Put(v)
		require.NoError(t, (<-first).err)
		p.Put(v)
		require.NoError(t, (<-third).err, "the line continues without the second caller")
	})
}

func TestEndedContext(t *testing.T) {
	p := newPool(t, (&workshop{}).options(1, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Get(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, pool.Stats{}, p.Stats())
}

func TestShed(t *testing.T) {
	for _, waiters := range []int{0, 1, 5} {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(t, (&workshop{}).options(2, waiters))
			v := get(t, p)
			get(t, p)
			results := line(t.Context(), p, waiters)
			_, err := p.Get(t.Context())
			var shed *pool.ShedError
			require.ErrorAs(t, err, &shed)
			require.Equal(t, &pool.ShedError{Waiters: waiters, Max: 2}, shed)
			require.ErrorContains(t, err, "all 2 values are in use and")
			require.Equal(t, pool.Stats{InUse: 2, Waiting: waiters, Made: 2, Shed: 1}, p.Stats())
			for range waiters {
				p.Put(v)
				v = (<-results).value
			}
			p.Put(v)
			require.Equal(t, v, get(t, p), "shedding ends when the line is empty")
		})
	}
}

func TestTrim(t *testing.T) {
	w := &workshop{}
	p := newPool(t, w.options(5, 0))
	for range 5 {
		get(t, p)
	}
	for _, v := range []int{3, 1, 4, 2} {
		p.Put(v)
	}
	require.Equal(t, 0, p.Trim(4))
	require.Equal(t, 2, p.Trim(2))
	require.Equal(t, []int{3, 1}, w.destroyed, "the coldest")
	require.Equal(t, pool.Stats{InUse: 1, Idle: 2, Made: 5}, p.Stats())
	require.Equal(t, 2, get(t, p), "the hottest")
	p.Put(2)
	require.Equal(t, 2, p.Trim(-1))
	require.Equal(t, []int{3, 1, 4, 2}, w.destroyed)
	require.Equal(t, 6, get(t, p), "the places are free")
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		p := newPool(t, w.options(4, 2))
		for range 4 {
			get(t, p)
		}
		waiting := line(t.Context(), p, 2)
		ends := make(chan struct{})
		for range 2 {
			go func() {
				p.Close()
				ends <- struct{}{}
			}()
		}
		for range 2 {
			require.ErrorIs(t, (<-waiting).err, pool.ErrClosed)
		}
		_, err := p.Get(t.Context())
		require.ErrorIs(t, err, pool.ErrClosed)
		require.Empty(t, w.destroyed)

		p.Put(1)
		p.Drop(2)
		p.Put(3)
		synctest.Wait()
		require.Equal(t, []int{1, 2, 3}, w.destroyed)
		require.Empty(t, ends, "one is still in use")
		p.Put(4)
		<-ends
		<-ends
		require.Equal(t, []int{1, 2, 3, 4}, w.destroyed)
		require.Equal(t, pool.Stats{Made: 4}, p.Stats())
		p.Close()
	})
}

func TestCloseDestroysIdleValues(t *testing.T) {
	w := &workshop{}
	p := newPool(t, w.options(2, 0))
	p.Put(get(t, p))
	p.Close()
	require.Equal(t, []int{1}, w.destroyed)

	newPool(t, w.options(2, 0)).Close() // nothing was ever made
}

// Nobody owns a value that is made while the pool closes.
func TestCloseWhileMaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		o := w.options(1, 0)
		proceed, works := make(chan struct{}), o.Make
		o.Make = func(ctx context.Context) (int, error) {
			<-proceed
			return works(ctx)
		}
		p := newPool(t, o)
		results := line(t.Context(), p, 1)
		closed := make(chan struct{})
		go func() {
			p.Close()
			close(closed)
		}()
		synctest.Wait()
		require.Equal(t, pool.Stats{InUse: 1}, p.Stats())
		close(proceed)
		<-closed
		require.Equal(t, []int{1}, w.destroyed)
		require.ErrorIs(t, (<-results).err, pool.ErrClosed)
	})
}

// A place stays taken while its value is being destroyed.
func TestPlacesAreTakenUntilDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		o := w.options(1, 1)
		proceed := make(chan struct{})
		o.Destroy = func(int) { <-proceed }
		p := newPool(t, o)
		p.Put(get(t, p))
		go p.Trim(0)
		synctest.Wait()
		require.Equal(t, pool.Stats{InUse: 1, Made: 1}, p.Stats())
		results := line(t.Context(), p, 1)
		require.Empty(t, results)
		close(proceed)
		require.Equal(t, result{0, 2, nil}, <-results)
	})
}

func TestTheFastPathDoesNotAllocate(t *testing.T) {
	p := newPool(t, (&workshop{}).options(4, 4))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.Put(get(t, p))
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		v, err := p.Get(ctx)
		if err != nil {
			panic(err)
		}
		p.Put(v)
	}))
}

func BenchmarkGetPut(b *testing.B) {
	p, err := pool.New((&workshop{}).options(4, 4))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		v, err := p.Get(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		p.Put(v)
	}
}

func TestTryGetNeitherMakesNorWaits(t *testing.T) {
	p, err := pool.New(pool.Options[int]{
		Max:  1,
		Make: func(context.Context) (int, error) { return 7, nil },
	})
	require.NoError(t, err)
	_, ok := p.TryGet(func(int) bool { return true })
	require.False(t, ok, "nothing was made yet")
	v, err := p.Get(t.Context())
	require.NoError(t, err)
	_, ok = p.TryGet(func(int) bool { return true })
	require.False(t, ok, "the one value is in use")
	p.Put(v)
	v, ok = p.TryGet(func(int) bool { return true })
	require.True(t, ok)
	require.Equal(t, 7, v)
	p.Put(v)
	p.Close()
	_, ok = p.TryGet(func(int) bool { return true })
	require.False(t, ok, "the pool is closed")
}

func like(values ...int) func(int) bool {
	return func(v int) bool { return slices.Contains(values, v) }
}

func TestGetLikePrefersToMakeBeforeItTakesAnother(t *testing.T) {
	w := &workshop{}
	p := newPool(t, w.options(3, 1))
	getLike := func(values ...int) int {
		t.Helper()
		v, err := p.GetLike(t.Context(), like(values...))
		require.NoError(t, err)
		return v
	}
	for _, v := range []int{get(t, p), get(t, p)} {
		p.Put(v)
	}
	require.Equal(t, 1, getLike(1), "not the most recently used value")
	p.Put(1)
	require.Equal(t, 3, getLike(), "the pool may make one more value")
	p.Put(3)
	require.Equal(t, 2, getLike(), "the pool may not make more: take the longest unused value")
	require.Equal(t, 1, getLike())
	_, ok := p.TryGet(like(1, 2))
	require.False(t, ok)
	v, ok := p.TryGet(like(3))
	require.True(t, ok)
	require.Equal(t, 3, v)
	for v := range 3 {
		p.Put(v + 1)
	}
	require.Empty(t, w.destroyed)
}

func TestTrimLikeDestroysIdleValuesOfAKind(t *testing.T) {
	w := &workshop{}
	p := newPool(t, w.options(4, 0))
	for _, v := range []int{get(t, p), get(t, p), get(t, p), get(t, p)} {
		p.Put(v)
	}
	require.Equal(t, 4, get(t, p))
	require.Equal(t, 2, p.TrimLike(like(1, 3, 4)), "one is in use")
	require.Equal(t, []int{1, 3}, w.destroyed)
	require.Equal(t, pool.Stats{InUse: 1, Idle: 1, Made: 4}, p.Stats())
	require.Equal(t, 2, get(t, p))
}

// timed returns a pool with three idle values, put back at seconds 1, 2, and 3.
func timed(t *testing.T, w *workshop) *pool.Pool[int] {
	t.Helper()
	now := time.Unix(0, 0)
	o := w.options(3, 0)
	o.Now = func() time.Time { return now }
	p := newPool(t, o)
	for range 3 {
		get(t, p)
	}
	for v := range 3 {
		now = time.Unix(int64(v+1), 0)
		p.Put(v + 1)
	}
	return p
}

func TestTrimBefore(t *testing.T) {
	for _, test := range []struct {
		name      string
		keep      int
		before    int64
		destroyed []int
	}{
		{"none is old", 0, 1, nil},
		{"one is older", 0, 2, []int{1}},
		{"all are", 0, 4, []int{1, 2, 3}},
		{"all are, and one is kept", 1, 4, []int{1, 2}},
		{"more are kept than there are", 4, 4, nil},
		{"less than none is kept", -1, 4, []int{1, 2, 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := &workshop{}
			p := timed(t, w)
			require.Equal(t, len(test.destroyed),
				p.TrimBefore(test.keep, time.Unix(test.before, 0)))
			require.Equal(t, test.destroyed, w.destroyed)
			require.Equal(t, 3-len(test.destroyed), p.Stats().Idle)
		})
	}
}

func TestOldest(t *testing.T) {
	p := timed(t, &workshop{})
	for _, want := range []struct{ since, count int }{{1, 3}, {2, 2}, {3, 1}} {
		since, count := p.Oldest()
		require.Equal(t, time.Unix(int64(want.since), 0), since)
		require.Equal(t, want.count, count)
		p.Trim(count - 1)
	}
	since, count := p.Oldest()
	require.True(t, since.IsZero())
	require.Zero(t, count)
}
