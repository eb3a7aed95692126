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
	"fmt"
	"runtime"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/kubernetes"
)

// cacheRatio returns the ratio between the memory that cached lists take and their size as JSON. It
// measures the growth of this process's heap, and runs the capability in this process.
func (b *bench) cacheRatio(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k, err := kubernetes.New(ctx,
		kubernetes.Options{
			Client:    b.server.Dynamic(),
			Discovery: b.server.Clientset().DiscoveryClient,
		})
	if err != nil {
		return 0, err
	}
	caller := &capabilities.Caller{Policy: "bench", Resources: []abi.ContextAwareResource{
		{APIVersion: "v1", Kind: "Namespace"}, {APIVersion: "v1", Kind: "Pod"},
		{APIVersion: "v1", Kind: "Node"},
	}}
	// Do not count the memory that clients always need.
	if _, err := k.Call(ctx, caller, "list_resources_all",
		[]byte(`{"api_version": "v1", "kind": "Node"}`)); err != nil {
		return 0, err
	}
	before, asked := heap(), 0
	for _, payload := range []string{
		`{"api_version": "v1", "kind": "Namespace"}`,
		`{"api_version": "v1", "kind": "Pod"}`,
		`{"api_version": "v1", "kind": "Pod", "field_masks": ["spec.nodeName"]}`,
	} {
		list, err := k.Call(ctx, caller, "list_resources_all", []byte(payload))
		if err != nil {
			return 0, fmt.Errorf("listing %s: %w", payload, err)
		}
		asked += len(list)
	}
	ratio := float64(heap()-before) / float64(asked)
	runtime.KeepAlive(k)
	return ratio, nil
}

// heap returns the number of heap bytes in use.
func heap() uint64 {
	// The second collection frees objects in pools.
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
