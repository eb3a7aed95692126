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

package ha

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/status"
	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

const (
	// renewal is the interval at which servers renew their status.
	renewal = 5 * time.Second
	// look is the interval at which the watcher reads the status.
	look = 500 * time.Millisecond
)

// window is a period in which servers served different versions.
type window struct {
	from, to time.Time
	// shown is when the status first reported it.
	shown time.Time
}

// watcher compares the versions that servers serve with their status. It is safe for concurrent
// use.
type watcher struct {
	nodes     [3]*node
	observers [3]*status.Observer

	mu      sync.Mutex
	serves  [3]string // the version in each server's last response
	table   *status.Table
	windows []window
	open    bool // whether the last window is still open
}

func newWatcher(nodes [3]*node) *watcher {
	w := &watcher{nodes: nodes}
	for n, node := range nodes {
		w.observers[n] = status.NewObserver(kubernetes.NewForConfigOrDie(node.config).
			CoordinationV1(), status.Place{}, clock.RealClock{})
	}
	return w
}

// start watches until stop is called.
func (w *watcher) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for n := range w.nodes {
		group.Go(func() {
			for ctx.Err() == nil {
				w.ask(ctx, n)
				select {
				case <-ctx.Done():
				case <-time.After(look):
				}
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
	}
}

// ask asks a server which version it serves, and for the status of all servers.
func (w *watcher) ask(ctx context.Context, n int) {
	serves, notAsked := w.nodes[n].serves(ctx)
	ctx, cancel := context.WithTimeout(ctx, hammer.AnswerTimeout)
	defer cancel()
	statuses, identities, notRead := w.observers[n].Look(ctx)

	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if notAsked == nil {
		w.serves[n] = serves
		w.compare(now)
	}
	if notRead == nil {
		w.table = status.Judge(statuses, identities)
		if w.open && w.table.RunningSets > 1 && w.windows[len(w.windows)-1].shown.IsZero() {
			w.windows[len(w.windows)-1].shown = now
		}
	}
}

// compare opens and closes windows.
func (w *watcher) compare(now time.Time) {
	versions := map[string]bool{}
	for _, version := range w.serves {
		versions[version] = true
	}
	delete(versions, "") // no response yet
	switch skewed := len(versions) > 1; {
	case skewed && !w.open:
		w.windows, w.open = append(w.windows, window{from: now}), true
	case !skewed && w.open:
		w.windows[len(w.windows)-1].to, w.open = now, false
	}
}

// judge returns the number of windows, the number of windows longer than two renewals, and how many
// of the long windows the status showed.
func (w *watcher) judge(t *testing.T) (all, long, shown int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, window := range w.windows {
		if window.to.IsZero() {
			window.to = time.Now()
		}
		told := "the status did not show it"
		if !window.shown.IsZero() {
			told = "the status showed it after " + window.shown.Sub(window.from).Round(look).String()
		}
		t.Logf("skew from %s for %s: %s", window.from.Format(time.TimeOnly),
			window.to.Sub(window.from).Round(look), told)
		all++
		if window.to.Sub(window.from) > 2*renewal {
			long++
			shown += map[bool]int{true: 1}[!window.shown.IsZero()]
		}
	}
	return all, long, shown
}

// requireState waits until the status reports a server in a state.
func (w *watcher) requireState(t *testing.T, n *node, state status.State) {
	t.Helper()
	w.eventually(t, fmt.Sprintf("the status reports %s as %s", n.name, state),
		func(table *status.Table) error {
			for _, server := range table.Servers {
				if server.Report != nil && server.Report.Host == n.name && server.State == state {
					return nil
				}
			}
			return fmt.Errorf("it reports %s", describe(table))
		})
}

// requireSkew waits until the status reports that servers serve different policies.
func (w *watcher) requireSkew(t *testing.T) {
	t.Helper()
	w.eventually(t, "the status reports skew", func(table *status.Table) error {
		if table.RunningSets < 2 {
			return fmt.Errorf("it reports %s", describe(table))
		}
		return nil
	})
}

// requireLasting waits until servers have served different versions for longer than two renewals.
func (w *watcher) requireLasting(t *testing.T) {
	t.Helper()
	hammer.Eventually(t, "skew lasts", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.open || time.Since(w.windows[len(w.windows)-1].from) < 2*renewal+look {
			return errors.New("the skew has not lasted long enough")
		}
		return nil
	})
}

// requireClear waits until the status reports that all servers serve the desired policies, and the
// same ones.
func (w *watcher) requireClear(t *testing.T) {
	t.Helper()
	w.eventually(t, "the status reports no problem", func(table *status.Table) error {
		if table.Skew != "" || len(table.Servers) != len(w.nodes) ||
			table.Count(status.StateRunning) != len(w.nodes) {
			return fmt.Errorf("it reports %s", describe(table))
		}
		return nil
	})
}

func (w *watcher) eventually(t *testing.T, what string, check func(*status.Table) error) {
	t.Helper()
	hammer.Eventually(t, what, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.table == nil {
			return errors.New("it reports nothing")
		}
		return check(w.table)
	})
}

func describe(table *status.Table) string {
	text := fmt.Sprintf("%q", table.Skew)
	for _, server := range table.Servers {
		text += fmt.Sprintf(", %s is %s (%s)", server.Name(), server.State, server.Reason)
	}
	return text
}
