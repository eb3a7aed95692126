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

package policyset

import "sync/atomic"

// lifetime counts who uses a set. Its zero value has the owner alone.
type lifetime struct {
	// holders are those beside the first; -1 means that the set has been freed.
	holders atomic.Int64
	closed  atomic.Bool
}

// Acquire takes hold of the set: it stays usable until Release. It reports whether
// that is so: false means that it has been freed. It takes no lock.
func (s *Set) Acquire() bool {
	for {
		holders := s.lifetime.holders.Load()
		if holders < 0 {
			return false
		}
		if s.lifetime.holders.CompareAndSwap(holders, holders+1) {
			return true
		}
	}
}

// Release ends what Acquire began. When the last lets go of a set that is closed, it is
// freed on the side: neither a request nor who holds a lock waits for that.
func (s *Set) Release() {
	if s.lifetime.holders.Add(-1) < 0 {
		go s.free()
	}
}

// Close says that whoever loaded the set is done with it. The policies' modules are
// freed before it returns, or when the last who acquired it lets go. Further calls do
// nothing.
func (s *Set) Close() {
	if !s.lifetime.closed.Swap(true) && s.lifetime.holders.Add(-1) < 0 {
		s.free()
	}
}
