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

package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"
)

// sharedBytes is what a child of several may take, in bytes.
const sharedBytes = 256 << 20

// MinMemoryBytes is the least memory that a child can do anything with, in bytes.
const MinMemoryBytes = 128 << 20

// Options configure a [Pool].
type Options struct {
	// Workers is how many children may compile at a time. There are fewer where they would not fit
	// into MemoryBytes with 256 MiB each.
	Workers int
	// MemoryBytes bounds the memory of all children together, in bytes, at least
	// [MinMemoryBytes]. A child has at most 256 MiB of it, one that is alone all.
	MemoryBytes int64
	// Timeout is how long a task can take at most. It is for the contexts of tasks to see to it; a
	// child has twice the processor time.
	Timeout time.Duration
	// Idle is how long a child with nothing to do is kept. Default: 5 seconds.
	Idle time.Duration
	// Logger gets what happens to children. Required.
	Logger *slog.Logger
}

// Pool starts children, hands tasks to them, and ends them. It is safe for concurrent use.
type Pool struct {
	options Options
	slots   *Gate

	mu      sync.Mutex
	idle    []*process
	running int
	closed  bool
	// children are those that run; none is added when the pool is closed.
	children sync.WaitGroup
}

// ErrClosed is returned after [Pool.Close].
var ErrClosed = errors.New("pool of compilers is closed")

// NewPool returns a pool. It starts no child.
func NewPool(o Options) *Pool {
	if o.Idle == 0 {
		o.Idle = 5 * time.Second
	}
	workers := min(o.Workers, int(o.MemoryBytes/sharedBytes))
	return &Pool{options: o, slots: NewGate(max(1, workers))}
}

// Running returns how many children there are.
func (p *Pool) Running() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

// Compile has a child compile a module. prepare empties the task's directory; it is called before every
// try. Tasks that are alone have all memory to themselves. The error is what the compiler
// said, a [*DiedError], or the cause of the context's end.
func (p *Pool) Compile(ctx context.Context, t Task, alone bool, prepare func() error) error {
	if err := t.check(); err != nil {
		return err
	}
	err := p.try(ctx, &t, alone, prepare)
	if d := (*DiedError)(nil); errors.As(err, &d) && !alone {
		p.options.Logger.Warn("A process that compiled modules ended: the last one is tried once more, alone", "how", d.How, "said", d.Said)
		return p.try(ctx, &t, true, prepare)
	}
	return err
}

func (p *Pool) try(ctx context.Context, t *Task, alone bool, prepare func() error) error {
	leave, err := p.slots.Enter(ctx, alone)
	if err != nil {
		return err
	}
	defer leave()
	if err := prepare(); err != nil {
		return err
	}
	child, err := p.take(alone)
	if err != nil {
		return err
	}
	err, usable := child.compile(ctx, t)
	if usable && !alone && child.used < p.options.Timeout && p.putBack(child) {
		return err
	}
	p.end(child)
	return err
}

// take returns a child that is idle, or a new one. The caller has a slot, all of them for
// one that is alone.
func (p *Pool) take(alone bool) (*process, error) {
	l := limits{DataBytes: min(p.options.MemoryBytes, sharedBytes), CPUSeconds: uint64(math.Ceil(2*p.options.Timeout.Seconds())) + 1}
	if alone {
		p.endIdle()
		l.DataBytes = p.options.MemoryBytes
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if last := len(p.idle) - 1; last >= 0 {
		child := p.idle[last]
		p.idle = p.idle[:last]
		child.timer.Stop()
		return child, nil
	}
	child, err := start(l)
	if err != nil {
		return nil, fmt.Errorf("starting a process that compiles: %w", err)
	}
	p.running++
	p.children.Add(1)
	return child, nil
}

// putBack keeps a child for the next task, for a while.
func (p *Pool) putBack(child *process) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.idle = append(p.idle, child)
	child.timer = time.AfterFunc(p.options.Idle, func() { p.retire(child) })
	return true
}

// retire ends a child if it is still idle.
func (p *Pool) retire(child *process) {
	p.mu.Lock()
	idle := false
	for n, other := range p.idle {
		if idle = other == child; idle {
			p.idle = append(p.idle[:n], p.idle[n+1:]...)
			break
		}
	}
	p.mu.Unlock()
	if idle {
		p.end(child)
	}
}

// endIdle ends all children that have nothing to do.
func (p *Pool) endIdle() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, child := range idle {
		child.timer.Stop()
		p.end(child)
	}
}

// end ends a child that nobody else has.
func (p *Pool) end(child *process) {
	child.end()
	p.mu.Lock()
	p.running--
	p.mu.Unlock()
	p.children.Done()
}

// Close ends all children. No task may be running.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.endIdle()
	p.children.Wait()
}
