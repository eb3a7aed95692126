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
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// loadTimeout is the deadline of the loads, none of which can meet it.
const loadTimeout = time.Second

// deadlines starts loads that take longer than their deadline, and prints how late the worst one
// ended.
func deadlines(ctx context.Context) (err error) {
	ctx = klog.NewContext(ctx, klog.New(nil))
	root, err := os.MkdirTemp("", "wasm-admission-attack-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	large := filepath.Join(root, "large.wasm")
	if err := os.WriteFile(large, largeModule(), 0o600); err != nil {
		return err
	}
	server := httptest.NewServer(http.HandlerFunc(serveSlowly))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	worst := 0.0
	for _, source := range []struct {
		name, uri string
		policies  int
	}{
		{"a registry that does not respond", "registry://" + host + "/silent/%d:v1", 1},
		{"a server that does not respond", "http://" + host + "/silent/%d.wasm", 1},
		{"a server that drips", "http://" + host + "/drip/%d.wasm", 1},
		{"500 policies from servers that drip", "http://" + host + "/drip/%d.wasm", 500},
		{"500 policies from a registry that does not respond",
			"registry://" + host + "/silent/%d:v1", 500},
		{"a large module", "file://" + large, 1},
	} {
		took, err := loadSlowly(ctx, host, source.uri, source.policies)
		if err == nil || !strings.Contains(err.Error(), "could not be loaded within 1s") {
			return fmt.Errorf("%s: want the error of the deadline, after %v got: %w", source.name, took,
				err)
		}
		overrun := float64(took-loadTimeout) / float64(time.Millisecond)
		fmt.Printf("%s: ended %.0f ms after the deadline\n", source.name, overrun)
		worst = max(worst, overrun)
	}
	figure.Print("load_deadline_overrun_ms_max", worst, "ms")
	return nil
}

// serveSlowly sends either nothing, or one byte at a time.
func serveSlowly(w http.ResponseWriter, r *http.Request) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if strings.HasPrefix(r.URL.Path, "/drip/") {
			if _, err := w.Write([]byte{0}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // if this fails, so does the next write
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}

// loadSlowly starts a manager with the given number of policies, and returns how long that took.
func loadSlowly(ctx context.Context, host, uri string, policies int) (time.Duration, error) {
	config, err := assembly.Decode(nil)
	if err != nil {
		return 0, err
	}
	config.Reload.LoadTimeout = metav1.Duration{Duration: loadTimeout}
	config.Sources.Insecure = []string{host}
	for n := range policies {
		module := uri
		if strings.Contains(uri, "%d") {
			module = fmt.Sprintf(uri, n)
		}
		config.Policies = append(config.Policies,
			wasmadmission.Policy{Name: fmt.Sprintf("p-%d", n), Module: module})
	}
	// Do not close it, because an abandoned load may still use it.
	a, err := assembly.New(ctx, config, assembly.Options{})
	if err != nil {
		return 0, err
	}
	a.Loader.Metadata = func([]byte) (*abi.Metadata, error) {
		return &abi.Metadata{ExecutionMode: abi.ExecutionModeWaPC, Rules: []abi.Rule{{
			APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
			Operations: []string{"CREATE"},
		}}}, nil
	}
	manager := a.Manager(reload.NewSource(config))
	began := time.Now()
	err = manager.Start(ctx)
	return time.Since(began), err
}

// largeModule returns an ordinary module of 4,000 functions with 1,500 bytes each, which takes a
// few seconds to compile.
func largeModule() []byte {
	const functions, steps = 4000, 500
	body := []byte{0, 0x41, 0} // no locals; i32.const 0
	for range steps {
		body = append(body, 0x41, 1, 0x6a) // i32.const 1, i32.add
	}
	body = append(body, 0x0b)
	declared, code := wasm.AppendUint32(nil, functions), wasm.AppendUint32(nil, functions)
	for range functions {
		declared = append(declared, 0)
		code = append(wasm.AppendUint32(code, uint32(len(body))), body...)
	}
	module := []byte("\x00asm\x01\x00\x00\x00")
	for _, section := range []struct {
		id      byte
		content []byte
	}{{1, []byte{1, 0x60, 0, 1, 0x7f}}, {3, declared}, {10, code}} {
		module = append(module, section.id)
		module = append(wasm.AppendUint32(module, uint32(len(section.content))), section.content...)
	}
	return module
}
