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

// sharedBytes is the memory limit in bytes of a child that compiles beside others.
const sharedBytes = 256 << 20

// MinMemoryBytes is the least memory in bytes with which a child can work.
const MinMemoryBytes = 128 << 20

// Options configures a [Pool].
type Options struct {
	// Workers is the maximum number of children that compile at a time. There are fewer if that
	// many would not fit into MemoryBytes with 256 MiB each.
	Workers int
	// MemoryBytes bounds the memory of all children together in bytes, and is at least
	// [MinMemoryBytes]. A child gets at most 256 MiB of it. A child that runs alone gets all of it.
	MemoryBytes int64
	// Timeout is the maximum duration of a task. The contexts of tasks must enforce it. A child has
	// twice that as its processor time.
	Timeout time.Duration
	// Idle is how long an idle child is kept. Default: 5 seconds.
	Idle time.Duration
	// Logger receives the pool's log. Required.
	Logger *slog.Logger
}

// Pool starts children, gives them tasks, and ends them. It is safe for concurrent use.
type Pool struct {
	options Options
	slots   *Gate

	mu      sync.Mutex
	idle    []*process
	running int
	closed  bool
	// children counts the running children. The pool adds none after it is closed.
	children sync.WaitGroup
}

// ErrClosed is returned after [Pool.Close].
var ErrClosed = errors.New("pool of compilers is closed")

// NewPool returns a pool. It does not start a child.
func NewPool(o Options) *Pool {
	if o.Idle == 0 {
		o.Idle = 5 * time.Second
	}
	workers := min(o.Workers, int(o.MemoryBytes/sharedBytes))
	return &Pool{options: o, slots: NewGate(max(1, workers))}
}

// Running returns the number of children.
func (p *Pool) Running() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

// Compile compiles a module in a child. Before every attempt it calls prepare, which must empty the
// task's directory. A task that runs alone gets all the memory. The error comes from the compiler,
// is a [*DiedError], or is the cause of the context's end.
func (p *Pool) Compile(ctx context.Context, t Task, alone bool, prepare func() error) error {
	if err := t.check(); err != nil {
		return err
	}
	err := p.try(ctx, &t, alone, prepare)
	if d := (*DiedError)(nil); errors.As(err, &d) && !alone {
		p.options.Logger.Warn(
			"A process that compiles modules died: retrying its last module alone", "how", d.How,
			"said", d.Said)
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

// take returns an idle child or a new one. The caller must hold a slot, or all slots for a child
// that runs alone.
func (p *Pool) take(alone bool) (*process, error) {
	l := limits{
		DataBytes:  min(p.options.MemoryBytes, sharedBytes),
		CPUSeconds: uint64(math.Ceil(2*p.options.Timeout.Seconds())) + 1,
	}
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
		return nil, fmt.Errorf("starting a process to compile modules: %w", err)
	}
	p.running++
	p.children.Add(1)
	return child, nil
}

// putBack keeps a child for the next task, until it was idle for too long.
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

// endIdle ends all idle children.
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

// end ends a child that nobody else uses.
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
