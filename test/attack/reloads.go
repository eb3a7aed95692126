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

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	reloadCount = 10_000
	// settled is the number of reloads after which everything permanent has been allocated.
	settled = 1_000
)

// reloads changes policies 10,000 times, and compares the process's resources with those after the
// first thousand changes.
func reloads(ctx context.Context) (err error) {
	ctx = klog.NewContext(ctx, klog.New(nil))
	r, err := newReloading()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.root)) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := r.start(ctx); err != nil {
		return err
	}
	var before holdings
	for n := range reloadCount {
		if err := r.change(n); err != nil {
			return fmt.Errorf("reload %d: %w", n, err)
		}
		if n+1 == settled {
			if before, err = held(); err != nil {
				return err
			}
		}
	}
	after, err := held()
	if err != nil {
		return err
	}
	fmt.Printf("after %d reloads:  %+v\nafter %d reloads: %+v\n", settled, before, reloadCount,
		after)
	figure.Print("reloads", reloadCount, "count")
	figure.Print("reload_leaked_kib",
		float64(max(after.HeapKiB-before.HeapKiB, after.ResidentKiB-before.ResidentKiB, 0)), "KiB")
	if after.Mappings > before.Mappings+8 || after.Descriptors > before.Descriptors+2 ||
		after.Goroutines > before.Goroutines+2 {
		return errors.New("mappings, descriptors or goroutines grow with reloads")
	}
	return nil
}

// holdings are the resources of a process.
type holdings struct{ HeapKiB, ResidentKiB, Mappings, Descriptors, Goroutines int }

func held() (h holdings, err error) {
	for range 3 { // objects with finalizers need a second collection
		runtime.GC()
	}
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	h.HeapKiB, h.Goroutines = int(stats.HeapAlloc>>10), runtime.NumGoroutine()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return h, err
	}
	h.Mappings = strings.Count(string(maps), "\n")
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return h, err
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return h, err
	}
	h.ResidentKiB = resident * os.Getpagesize() >> 10
	descriptors, err := os.ReadDir("/proc/self/fd")
	h.Descriptors = len(descriptors)
	return h, err
}

// reloading is a manager whose policies the test changes.
type reloading struct {
	*metrics.Policies
	root    string
	guests  []string
	ticks   ticks
	results chan string
	manager *reload.Manager
}

func newReloading() (*reloading, error) {
	root, err := os.MkdirTemp("", "wasm-admission-attack-")
	if err != nil {
		return nil, err
	}
	r := &reloading{root: root, guests: []string{"accept", "deny", "contains", "obedient"},
		Policies: metrics.NewPolicies(), ticks: ticks{at: make(chan time.Time)},
		results: make(chan string, 1)}
	for _, guest := range r.guests {
		if err := r.module(guest, guest, ""); err != nil {
			return nil, err
		}
	}
	return r, os.Mkdir(filepath.Join(root, "policies.d"), 0o700)
}

// module writes a guest from test/wat to a file, with a custom section that contains text. So each
// text makes a different module.
func (r *reloading) module(name, guest, text string) error {
	wasm, err := os.ReadFile(filepath.Join("test", "wat", guest+".wasm"))
	if err != nil {
		return fmt.Errorf("run this from the root of the repository: %w", err)
	}
	if text != "" {
		section := append([]byte{byte(len("attack"))}, "attack"+text...)
		wasm = append(append(wasm, 0, byte(len(section))), section...)
	}
	return r.put(name+".wasm", wasm)
}

// put replaces a file atomically.
func (r *reloading) put(name string, content []byte) error {
	temporary := filepath.Join(r.root, "next")
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(r.root, name))
}

// ObserveReload implements [reload.Recorder].
func (r *reloading) ObserveReload(result string, _ time.Duration) { r.results <- result }

// start starts the manager.
func (r *reloading) start(ctx context.Context) error {
	config, err := assembly.Decode(nil)
	if err != nil {
		return err
	}
	config.PolicyDirectory = filepath.Join(r.root, "policies.d")
	config.StateDirectory = filepath.Join(r.root, "state")
	config.Reload.KeepLastGood = true
	a, err := assembly.New(ctx, config, assembly.Options{})
	if err != nil {
		return err
	}
	r.manager = reload.New(reload.Options{
		Config: config, Source: unwatched{reload.NewSource(config)}, Loader: a.Loader, Recorder: r,
		Clock: r.ticks,
	})
	// Like a dispatcher, the subscriber holds a set until it gets the next one.
	held := &policyset.Set{}
	r.manager.Subscribe(func(set *policyset.Set) {
		if set.Acquire() {
			held, set = set, held
			set.Release()
		}
	})
	if err := r.manager.Start(ctx); err != nil {
		return err
	}
	<-r.results
	go r.manager.Run(ctx)
	return nil
}

// change makes one change and waits until the manager has handled it. It changes settings, a
// policy's module, or the content of a module, or makes a policy fail to load.
func (r *reloading) change(n int) error {
	const manifest = `{"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "metadata": {"name": "%[1]s"},
	"spec": {"module": "file://%[2]s", "settings": {"n": %[3]d}, "mutating": %[4]t,
	"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}}`
	want, guest := "succeeded", r.guests[n%len(r.guests)]
	if n%50 == 49 {
		guest = "own"
		if err := r.module(guest, "accept", fmt.Sprint(n)); err != nil {
			return err
		}
	}
	if n%50 == 25 {
		guest, want = "missing", "failed"
	}
	// Both are in one file, because the manager may read it at any time.
	var content strings.Builder
	for policy, setting := range map[string]int{"a": n, "b": n / 10} {
		fmt.Fprintf(&content, manifest, policy, filepath.Join(r.root, guest+".wasm"), setting,
			n%2 == 1)
	}
	err := r.put(filepath.Join("policies.d", "policies.json"), []byte(content.String()))
	if err != nil {
		return err
	}
	r.ticks.at <- time.Now()
	if got := <-r.results; got != want {
		return fmt.Errorf("%s instead of %s: %w", got, want, r.manager.Check())
	}
	return nil
}

// unwatched is a source that is not watched, but only polled.
type unwatched struct{ reload.Source }

func (unwatched) Paths() []string { return nil }

// ticks is a clock whose tickers tick on demand.
type ticks struct {
	clock.RealClock
	at chan time.Time
}

func (t ticks) NewTicker(time.Duration) clock.Ticker { return t }
func (t ticks) C() <-chan time.Time                  { return t.at }
func (t ticks) Stop()                                {}
