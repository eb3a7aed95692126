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
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"sync/atomic"

	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/assembly/serving"
	leasestatus "github.com/wasm-admission/wasm-admission/pkg/status"
)

// status reports whether this server is ready for admission reviews.
type status struct{ unready atomic.Pointer[string] }

func newStatus() *status {
	s := &status{}
	s.set("policies are being loaded")
	return s
}

// set sets the reason why the server is not ready, or "" if it is.
func (s *status) set(unready string) { s.unready.Store(&unready) }

func (s *status) check(*http.Request) error {
	if unready := *s.unready.Load(); unready != "" {
		return errors.New(unready)
	}
	return nil
}

// handler serves health checks and metrics. The given checks are those of the policies.
func (s *status) handler(checks []healthz.HealthChecker) http.Handler {
	mux := http.NewServeMux()
	healthz.InstallHandler(mux, healthz.PingHealthz)
	healthz.InstallReadyzHandler(mux,
		append([]healthz.HealthChecker{healthz.PingHealthz, healthz.NamedCheck("serving", s.check)},
			checks...)...)
	mux.Handle("GET /metrics", legacyregistry.Handler())
	return mux
}

// tell reports in a Lease what this replica serves, until ctx ends. Each Pod has a unique host
// name.
func (s *server) tell(ctx context.Context, reviews *endpoint) {
	namespace := s.options.statusNamespace
	if reference := s.options.serviceReference; reference != nil {
		namespace = cmp.Or(namespace, reference.Namespace)
	}
	if namespace == "" {
		return
	}
	host, err := os.Hostname()
	if err != nil {
		klog.FromContext(ctx).
			Error(err, "The status is not reported, because the name of this host is unknown")
		return
	}
	go s.told.Run(ctx, serving.StatusOptions{
		Leases: s.leases, Place: leasestatus.Webhooks(namespace), Host: host,
		Address: reviews.listener.Addr().String(),
	})
}
