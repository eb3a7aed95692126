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

package terminal

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"k8s.io/utils/clock"
)

// progressAfter is the delay before the progress of an operation is shown, and the interval of
// updates.
const progressAfter = time.Second

// shown is the progress display of a long operation.
type shown struct {
	w    io.Writer
	what string

	mu      sync.Mutex
	written bool
	// bar exists during a transfer.
	bar *progressbar.ProgressBar
}

// Progress shows the user at the terminal that an operation is running. The returned function ends
// the operation and removes the display. Without a terminal, Progress does nothing.
func (s *Streams) Progress(what string) (done func()) {
	if !isTerminal(s.Err) {
		return func() {}
	}
	p := &shown{w: s.Err, what: what}
	before := s.current.Swap(p)
	end := p.begin(clock.RealClock{})
	return func() {
		end()
		s.current.CompareAndSwap(p, before)
	}
}

// Transferred shows the progress of a transfer: the bytes so far, and the total, which is 0 if it
// is unknown. It is safe for concurrent use.
func (s *Streams) Transferred(bytes, total int64) {
	if p := s.current.Load(); p != nil {
		p.transferred(bytes, total)
	}
}

func (p *shown) begin(c clock.WithTicker) (done func()) {
	ticker, begun, stop := c.NewTicker(progressAfter), c.Now(), make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C():
				p.tell(c.Since(begun))
			case <-stop:
				p.end()
				return
			}
		}
	})
	return func() {
		close(stop)
		writing.Wait()
	}
}

func (p *shown) tell(elapsed time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		p.written = true
		fmt.Fprintf(p.w, "\r%s … %s", p.what, elapsed.Round(time.Second))
	}
}

func (p *shown) transferred(bytes, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil || p.bar.GetMax64() != max(total, -1) && total > 0 {
		if total <= 0 {
			total = -1 // shows a bar without an end
		}
		p.written = true
		fmt.Fprint(p.w, "\r\x1b[K")
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetDescription(p.what), progressbar.OptionShowBytes(true),
			progressbar.OptionSetRenderBlankState(true),
			progressbar.OptionThrottle(100*time.Millisecond))
	}
	// it fails if there are more bytes than announced, and then shows a full bar
	_ = p.bar.Set64(bytes)
	if total > 0 && bytes >= total {
		p.bar = nil // the transfer is over
	}
}

func (p *shown) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.written {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.bar = nil
}
