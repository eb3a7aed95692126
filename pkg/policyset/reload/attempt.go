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

package reload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/internal/filewatch"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

const (
	// defaultLoadTimeout bounds one attempt to load a set if the configuration has no bound.
	defaultLoadTimeout = 2 * time.Minute
	// watchAfter is how long an attempt runs before the manager looks for newer changes. Most
	// attempts take less time.
	watchAfter = time.Second
	// maxOvertaken is how many consecutive attempts may be given up for a newer goal. Otherwise
	// files that change all the time would keep everything from being loaded.
	maxOvertaken = 3
)

var (
	errOvertaken = errors.New("something else is wanted by now")
	errNotNeeded = errors.New("there is nothing to load")
)

// attempt is one attempt to load the desired set.
type attempt struct {
	// desired and modules are the goal of the attempt, as far as it is known.
	desired atomic.Pointer[Desired]
	modules atomic.Pointer[resolution]
}

// try loads the desired set if needed, and starts again if it changes during loading. The error is
// errNotNeeded if there is nothing to do.
func (m *Manager) try(ctx context.Context, needed func(*goal) bool) (*policyset.Set, *goal, error) {
	for overtaken := 0; ; overtaken++ {
		bounded, end := m.bound(ctx, "could not be loaded")
		a := &attempt{}
		if overtaken < maxOvertaken {
			go m.watch(bounded, a, m.options.Clock.NewTimer(watchAfter), end)
		}
		set, g, err := m.attempt(bounded, a, needed)
		cause := context.Cause(bounded)
		end(nil)
		if set != nil || !errors.Is(cause, errOvertaken) {
			return set, g, err
		}
		klog.FromContext(ctx).
			Info("Policies changed while they were being loaded: starting again",
				"desiredHash", g.hash)
	}
}

func (m *Manager) attempt(ctx context.Context, a *attempt,
	needed func(*goal) bool) (*policyset.Set, *goal, error) {
	g := m.goal(ctx, a)
	if !needed(g) {
		return nil, g, errNotNeeded
	}
	return m.load(ctx, a, g)
}

// bound returns a context that ends with end, or after the load timeout.
func (m *Manager) bound(ctx context.Context,
	what string) (bounded context.Context, end context.CancelCauseFunc) {
	bounded, end = context.WithCancelCause(ctx)
	timer := m.options.Clock.NewTimer(m.timeout)
	go func() {
		defer timer.Stop()
		select {
		case <-timer.C():
			end(fmt.Errorf("%s within %s (reload.loadTimeout)", what, m.timeout))
		case <-bounded.Done():
		}
	}()
	return bounded, end
}

// watch ends an attempt if the desired set changes. It starts to look when the timer fires.
func (m *Manager) watch(ctx context.Context, a *attempt, timer clock.Timer,
	end context.CancelCauseFunc) {
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
		return
	}
	paths := func() []string {
		if desired := a.desired.Load(); desired != nil {
			return m.pathsOf(desired.modules())
		}
		return m.pathsOf(nil)
	}
	filewatch.Run(ctx, filewatch.Options{
		Paths:    paths,
		Interval: m.interval,
		Clock:    m.options.Clock,
	}, func(ctx context.Context) {
		if m.isOvertaken(ctx, a) {
			end(errOvertaken)
		}
	})
}

// isOvertaken reports whether the desired set differs from that of an attempt: the files of the
// policies changed, or a module on disk. It does not ask registries and servers, because loading
// may already be waiting for one. A file that cannot be read does not count, because it may be half
// written.
func (m *Manager) isOvertaken(ctx context.Context, a *attempt) bool {
	before := a.desired.Load()
	if before == nil || before.Hash == "" {
		return false
	}
	desired, _ := m.desired(ctx)
	if desired.Hash != "" && desired.Hash != before.Hash {
		return true
	}
	modules := a.modules.Load()
	if modules == nil {
		return false
	}
	for _, address := range modules.addresses {
		if !strings.HasPrefix(address.URI, "file://") {
			continue
		}
		request := address.request()
		request.Have = modules.module(address)
		found, err := get(ctx, &m.strays, m.fetcher(), request)
		if err == nil && found.Digest != modules.digest(address) {
			return true
		}
	}
	return false
}

// problems returns one problem for each policy whose module cannot be fetched, or nil.
func (g *goal) problems() error {
	config := wasmadmission.WasmAdmissionConfiguration{
		Policies:     g.desired.Policies,
		PolicyGroups: g.desired.PolicyGroups,
	}
	return policyset.JoinProblems(policyset.FetchProblems(&config,
		func(request module.Request) error {
			if found := g.modules.modules[addressOf(request)]; found != nil {
				return found.err
			}
			return nil
		}), g.desired.Origins)
}
