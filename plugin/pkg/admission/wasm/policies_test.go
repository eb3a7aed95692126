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

package wasm

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/server/healthz"
)

// get requests a server's readyz with the given checks.
func get(checks []healthz.HealthChecker, path string) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	healthz.InstallReadyzHandler(mux, checks...)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer
}

// replace overwrites the module of a configuration with another guest of test/wat.
func replace(t *testing.T, config, guest string) {
	t.Helper()
	path := regexp.MustCompile(`file://([^"]+)`).FindStringSubmatch(config)[1]
	wasm, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "test", "wat", guest+".wasm"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".new", wasm, 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

func TestAModuleThatIsReplacedIsTakenOver(t *testing.T) {
	plugins, config := admission.NewPlugins(), configuration(t, "accept")
	checks := Register(plugins)
	first, err := newApiserver(t, true).start(plugins, config)
	require.NoError(t, err)
	second, err := newApiserver(t, true).start(plugins, config)
	require.NoError(t, err)
	require.NoError(t, createConfigMap(t, first))

	replace(t, config, "deny")
	for _, p := range []*plugin{first, second} {
		require.Eventually(t, func() bool { return createConfigMap(t, p) != nil }, time.Minute,
			time.Millisecond)
	}
	require.Equal(t, http.StatusOK, get(checks, "/readyz/wasm-admission-policies").Code)

	replace(t, config, "settings-refused")
	require.Eventually(t, func() bool {
		return get(checks, "/readyz/wasm-admission-policies").Code != http.StatusOK
	}, time.Minute, time.Millisecond)
	answer := get(checks, "/readyz/wasm-admission-policies")
	require.Equal(t, http.StatusInternalServerError, answer.Code)
	require.Contains(t, answer.Body.String(),
		"policies[p].settings: Invalid value: the policy refuses these settings: settings-refused.wat takes no settings")
	require.Equal(t, http.StatusOK, get(checks, "/readyz").Code,
		"it serves the last good set, and is to be let")
	require.Equal(t, http.StatusOK, get(checks, "/readyz/wasm-admission").Code)
	require.Error(t, createConfigMap(t, first))

	replace(t, config, "accept")
	require.Eventually(t, func() bool { return createConfigMap(t, first) == nil }, time.Minute,
		time.Millisecond)
	require.Eventually(t, func() bool {
		return get(checks, "/readyz/wasm-admission-policies").Code == http.StatusOK
	}, time.Minute, time.Millisecond)
}

// A drained server stops watching for changes.
func TestWatchEndsWithTheServer(t *testing.T) {
	plugins, config := admission.NewPlugins(), configuration(t, "accept")
	Register(plugins)
	server := newApiserver(t, true)
	drained := make(chan struct{})
	server.drained = drained
	p, err := server.start(plugins, config)
	require.NoError(t, err)
	close(drained)
	replace(t, config, "deny")
	require.Never(t, func() bool { return createConfigMap(t, p) != nil }, 300*time.Millisecond,
		10*time.Millisecond)
}

// Requests finish on the set with which they started while sets change.
func TestRequestsDuringReloads(t *testing.T) {
	plugins, config := admission.NewPlugins(), configuration(t, "accept")
	Register(plugins)
	p, err := newApiserver(t, true).start(plugins, config)
	require.NoError(t, err)
	var clients sync.WaitGroup
	var ended atomic.Bool
	for range 4 {
		clients.Go(func() {
			for !ended.Load() {
				if err := createConfigMap(t, p); err != nil &&
					!strings.Contains(err.Error(), "denied by deny.wat") {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 20 {
		guest, denies := "deny", true
		if n%2 == 1 {
			guest, denies = "accept", false
		}
		replace(t, config, guest)
		require.Eventually(t, func() bool { return (createConfigMap(t, p) != nil) == denies },
			time.Minute, time.Millisecond)
	}
	ended.Store(true)
	clients.Wait()
}
