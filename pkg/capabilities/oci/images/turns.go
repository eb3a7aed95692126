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

package images

import (
	"context"
	"sync"
)

// turns limits how many callers run at the same time for each key. Unused keys take no memory.
type turns struct {
	limit int

	mu    sync.Mutex
	lines map[string]*line
}

// line holds the callers that have a turn for a key, or wait for one.
type line struct {
	busy chan struct{}
	in   int
}

func newTurns(limit int) *turns { return &turns{limit: limit, lines: map[string]*line{}} }

// take waits for a turn. The returned function ends the turn.
func (t *turns) take(ctx context.Context, key string) (end func(), err error) {
	t.mu.Lock()
	l := t.lines[key]
	if l == nil {
		l = &line{busy: make(chan struct{}, t.limit)}
		t.lines[key] = l
	}
	l.in++
	t.mu.Unlock()
	select {
	case l.busy <- struct{}{}:
		return func() {
			<-l.busy
			t.leave(key, l)
		}, nil
	case <-ctx.Done():
		t.leave(key, l)
		return nil, context.Cause(ctx)
	}
}

func (t *turns) leave(key string, l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.in--; l.in == 0 {
		delete(t.lines, key)
	}
}
