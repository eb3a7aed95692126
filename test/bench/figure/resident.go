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

package figure

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Resident returns the resident memory of a process in bytes, without its children. It is only
// supported on Linux.
func Resident(pid int) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}

// ResidentBytes frees garbage and returns the resident memory of this process. It returns 0 if the
// system does not support this.
func ResidentBytes() int64 {
	collect()
	bytes, err := Resident(os.Getpid())
	if err != nil {
		return 0
	}
	return bytes
}

// collect frees garbage, including objects with finalizers. wazero unmaps the code of closed
// modules in a finalizer.
func collect() {
	for range 2 {
		done := make(chan struct{})
		// without a pointer, the object might share memory with others
		runtime.SetFinalizer(&struct{ keep *int }{}, func(any) { close(done) })
		runtime.GC()
		<-done // finalizers run in sequence
	}
	debug.FreeOSMemory()
}
