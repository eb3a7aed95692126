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
	"errors"
	"net/http"
	"sync/atomic"

	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/component-base/metrics/legacyregistry"
)

// status is whether this server is to be sent admission reviews.
type status struct{ unready atomic.Pointer[string] }

func newStatus() *status {
	s := &status{}
	s.set("policies are being loaded")
	return s
}

// set says why not; "" means that it is.
func (s *status) set(unready string) { s.unready.Store(&unready) }

func (s *status) check(*http.Request) error {
	if unready := *s.unready.Load(); unready != "" {
		return errors.New(unready)
	}
	return nil
}

// handler serves what is to be known of this server. Checks are those of the policies.
func (s *status) handler(checks []healthz.HealthChecker) http.Handler {
	mux := http.NewServeMux()
	healthz.InstallHandler(mux, healthz.PingHealthz)
	healthz.InstallReadyzHandler(mux, append([]healthz.HealthChecker{healthz.PingHealthz, healthz.NamedCheck("serving", s.check)}, checks...)...)
	mux.Handle("GET /metrics", legacyregistry.Handler())
	return mux
}
