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

// Status publishes what a server serves through a Lease, which kubectl lists. See package status.
// The zero value is ready to use in the options of one server. It is safe for concurrent use.
//
// The command calls Run in a hook after the start, because the server accepts no writes before, and
// Stop in a hook before the shutdown:
//
//	AddPostStartHook("wasm-admission-status", func(hook PostStartHookContext) error {
//		go told.Run(hook, serving.StatusOptions{…})
//		return nil
//	})
//	AddPreShutdownHook("wasm-admission-status", told.Stop)
//
// If several apiservers run in one process, only one of them publishes the status.
type Status struct {
	mu      sync.Mutex
	server  *Server
	cancel  context.CancelFunc
	stopped bool
	ended   chan struct{} // closed when Run has ended; nil before it begins
	keeper  *status.Keeper
}

// StatusOptions say where the status of a server is published. Leases, Host and Address are
// required.
type StatusOptions struct {
	// Leases is the server's client of itself, with the credential that the Authenticator of
	// package loopback marks. With any other client, policies evaluate the writes.
	Leases coordinationclient.LeasesGetter
	// Place is the place of the Leases. Default: that of apiservers.
	Place status.Place
	// Host is the name of the host, as in the server's identity Lease. Address is where the server
	// serves, as host:port.
	Host, Address string
	// Kubernetes is the version of the apiserver, or "" if the server is not an apiserver.
	Kubernetes string
	// RenewEvery is how often Run renews the Lease. Default: 40 seconds.
	RenewEvery time.Duration
}

// stopTimeout bounds how long the shutdown waits for the removal of the Lease.
const stopTimeout = 5 * time.Second

// Run publishes the status until ctx ends or Stop is called. If the server has no policies loaded,
// because its feature gate is off, Run removes the status that an earlier process published, and
// returns. Call Run only once.
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

// withdraw removes the status that an earlier process published. It tries only once.
func (s *Status) withdraw(ctx context.Context, o StatusOptions) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := status.Withdraw(ctx, o.Leases, o.Host, o.Address); err != nil {
		klog.FromContext(ctx).Error(err,
			"Cannot remove the status that an earlier process published. Other servers will")
	}
}

// Stop ends Run and removes the Lease. It takes at most five seconds. It never returns an error,
// which the caller could only log: other servers remove a Lease that is left behind.
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
			Error(err, "Cannot remove the status of this server. Other servers will")
	}
	return nil
}

// current returns the loaded configuration, or nil, and its hash.
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

// hashBesidePolicies returns a hash of everything in the configuration except policies. Paths do
// not count, because hosts may have their files in different places.
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

// reporter creates reports.
type reporter struct {
	manager                   *reload.Manager
	configuration, kubernetes string

	mu       sync.Mutex
	policies []status.Policy
}

// use records the policies of a set that is served from now on.
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

// report returns the current report.
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
		report.Failures = append([]string{"serving the policies that an earlier process kept"},
			report.Failures...)
	}
	return report
}
