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

package serving

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"time"

	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/buildinfo"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/status"
)

// Status tells through a Lease, which kubectl lists, what a server serves: see package
// status. The zero value is one that no server has been given to. It is safe for concurrent
// use.
//
// It goes into the options of a server. The command calls Run in a hook after the start, as
// only then there is somebody to write to, and Stop in a hook before the shutdown:
//
//	AddPostStartHook("wasm-admission-status", func(hook PostStartHookContext) error {
//		go told.Run(hook, serving.StatusOptions{…})
//		return nil
//	})
//	AddPreShutdownHook("wasm-admission-status", told.Stop)
//
// A server that runs several apiservers in one process has one of them tell the status.
type Status struct {
	mu      sync.Mutex
	server  *Server
	cancel  context.CancelFunc
	stopped bool
	ended   chan struct{} // closed when Run has ended; nil before it begins
	keeper  *status.Keeper
}

// StatusOptions say where the status of a server is told. Leases, Host and Address are
// required.
type StatusOptions struct {
	// Leases is the server's client of itself, with the credential that is marked by
	// Authenticator of package loopback: others have the policies evaluate the writes.
	Leases coordinationclient.LeasesGetter
	// Place is where the Leases are. Default: that of apiservers.
	Place status.Place
	// Host is the host's name, as it is in the server's identity Lease. Address is where the
	// server serves, as host:port.
	Host, Address string
	// Kubernetes is the version of the apiserver; "" if the server is none.
	Kubernetes string
	// RenewEvery is how often the Lease is renewed. Default: 40 seconds.
	RenewEvery time.Duration
}

// stopTimeout bounds how long the end of a server may wait for its Lease to go.
const stopTimeout = 5 * time.Second

// Run tells the status until ctx ends or Stop is called. If the server has no policies
// loaded, as its feature gate is off, it removes what an earlier process told, and returns. It
// is called once.
func (s *Status) Run(ctx context.Context, o StatusOptions) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	if s.stopped || s.ended != nil {
		s.mu.Unlock()
		return
	}
	s.cancel, s.ended = cancel, make(chan struct{})
	defer close(s.ended)
	l, config := s.server.current()
	if l == nil {
		s.mu.Unlock()
		s.withdraw(ctx, o)
		return
	}
	r := &reporter{manager: l.manager, configuration: config, kubernetes: o.Kubernetes}
	s.keeper = status.NewKeeper(status.KeeperOptions{
		Leases: o.Leases, Place: o.Place, Host: o.Host, Address: o.Address,
		RenewEvery: o.RenewEvery, Report: r.report, Observe: observeServers,
	})
	s.mu.Unlock()
	l.manager.Subscribe(r.use)
	l.manager.Listen(s.keeper.Changed)
	s.keeper.Run(ctx)
}

// withdraw removes what an earlier process told. It is not important enough to insist.
func (s *Status) withdraw(ctx context.Context, o StatusOptions) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := status.Withdraw(ctx, o.Leases, o.Host, o.Address); err != nil {
		klog.FromContext(ctx).Error(err,
			"The status that an earlier process told could not be removed. Other servers will")
	}
}

// Stop ends Run, and removes the Lease. It takes five seconds at most, and never returns an
// error: one would only be logged, and other servers remove what is left.
func (s *Status) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.mu.Lock()
	s.stopped = true
	ended, keeper := s.ended, s.keeper
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	if keeper == nil {
		return nil
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return nil
	}
	if err := keeper.Remove(ctx); err != nil {
		klog.FromContext(ctx).
			Error(err, "The status of this server could not be removed. Other servers will")
	}
	return nil
}

// current returns what is loaded, nil if nothing is, and the hash of its configuration.
func (s *Server) current() (*loaded, string) {
	if s == nil {
		return nil, ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded == nil {
		return nil, ""
	}
	return s.loaded, s.loaded.configuration
}

// hashBesidePolicies identifies what a configuration says of all but policies. Where a host
// has its files makes no difference.
func hashBesidePolicies(config *wasmadmission.WasmAdmissionConfiguration) string {
	rest := *config
	rest.Policies, rest.PolicyGroups = nil, nil
	for _, path := range []*string{
		&rest.PolicyDirectory, &rest.StateDirectory, &rest.BreakGlassFile,
	} {
		if *path != "" {
			*path = "set"
		}
	}
	text, err := json.Marshal(&rest)
	if err != nil {
		return "unknown"
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// reporter makes reports.
type reporter struct {
	manager                   *reload.Manager
	configuration, kubernetes string

	mu       sync.Mutex
	policies []status.Policy
}

// use notes the policies of a set that is served from now on.
func (r *reporter) use(set *policyset.Set) {
	var policies []status.Policy
	for _, p := range set.Policies() {
		policies = append(policies,
			status.Policy{Name: p.Name(), Mode: string(p.Spec().Mode), Digest: p.Digest()})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.policies = policies
}

// report returns what there is to say now.
func (r *reporter) report() status.Report { return r.describe(r.manager.Status()) }

func (r *reporter) describe(stands reload.Status) status.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := status.Report{
		State: status.StateRunning, Running: stands.Running, Desired: stands.Desired,
		Configuration: r.configuration,
		Since:         stands.Since.UTC(), Policies: r.policies, PolicyCount: len(r.policies),
		Version: buildinfo.String(), Kubernetes: r.kubernetes,
	}
	if stands.Reason != nil {
		report.State = status.StateRefused
		failed := stands.FailedSince.UTC()
		report.FailedSince = &failed
		report.Failures = strings.Split(stands.Reason.Error(), "\n")
	}
	if stands.Kept {
		report.Failures = append([]string{"the policies are those that an earlier process kept"},
			report.Failures...)
	}
	return report
}
