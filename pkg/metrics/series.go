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

package metrics

import "sync"

// policySeries removes the series of policies that are gone. Otherwise a server that runs for
// months would keep the series of every policy that it ever had.
type policySeries struct {
	mu sync.Mutex
	// loaded counts the loaded policies with each name.
	loaded map[string]int
	// remove are functions that remove the series with these labels from a metric.
	remove []func(labels map[string]string)
}

// PolicyLoaded records that a policy with this name was loaded.
func (s *policySeries) PolicyLoaded(policy string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded[policy]++
}

// PolicyFreed records that a policy with this name was freed. After the last one, it removes their
// series.
func (s *policySeries) PolicyFreed(policy string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded[policy]--; s.loaded[policy] > 0 {
		return
	}
	delete(s.loaded, policy)
	for _, remove := range s.remove {
		remove(map[string]string{"policy": policy})
	}
}

// vec is a metric with labels. It has no series before it is registered.
type vec interface{ IsCreated() bool }

// removing returns a function that removes series from a metric.
func removing(v vec, remove func(labels map[string]string) int) func(labels map[string]string) {
	return func(labels map[string]string) {
		if v.IsCreated() {
			remove(labels)
		}
	}
}
