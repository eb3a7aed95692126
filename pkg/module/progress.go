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

package module

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// progressEvery is the time after which, and then the interval at which, an unfinished fetch is
// logged.
const progressEvery = 2 * time.Second

// progress is the progress of a request.
type progress struct {
	observe      func(bytes, total int64) // nil if nobody observes
	step         atomic.Value             // string
	bytes, total atomic.Int64
	done         chan struct{}
	stopped      sync.WaitGroup
	begin        time.Time
}

// watch starts to log a request's progress and to report it to an observer, until stop is called.
func watch(ctx context.Context, every time.Duration, observe func(bytes, total int64)) *progress {
	p := &progress{observe: observe, done: make(chan struct{}), begin: time.Now()}
	p.at("waiting")
	logger := klog.FromContext(ctx)
	p.stopped.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-p.done:
				return
			case <-ticker.C:
				logger.Info("Still fetching a module", "step", p.step.Load(),
					"bytes", p.bytes.Load(), "of", p.total.Load(),
					"elapsed", time.Since(p.begin).Round(time.Millisecond))
			}
		}
	})
	return p
}

func (p *progress) stop() {
	close(p.done)
	p.stopped.Wait()
}

// at records the current step.
func (p *progress) at(step string) { p.step.Store(step) }

// download records the number of bytes expected; negative means unknown.
func (p *progress) download(total int64) {
	p.at("downloading")
	p.bytes.Store(0)
	p.total.Store(max(total, 0))
	p.tell()
}

// Write counts bytes.
func (p *progress) Write(b []byte) (int, error) {
	p.bytes.Add(int64(len(b)))
	p.tell()
	return len(b), nil
}

func (p *progress) tell() {
	if p.observe != nil {
		p.observe(p.bytes.Load(), p.total.Load())
	}
}
