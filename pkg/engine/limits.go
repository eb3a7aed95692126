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

package engine

import (
	"fmt"
	"time"
)

// PageSize is the size of a page of linear memory in bytes (WebAssembly core
// specification 2.0, 4.2.8).
const PageSize = 64 << 10

// Limits bounds what one module and one evaluation may use. A zero field takes
// the value of [DefaultLimits].
type Limits struct {
	// ModuleBytes is the largest size of a module's binary in bytes.
	ModuleBytes int64
	// MemoryBytes is the largest size of the linear memory of one instance in
	// bytes. It is rounded down to whole pages. A guest that asks for more is
	// told so by memory.grow, as the specification has it; a module that
	// declares more as its minimum is not loaded.
	MemoryBytes int64
	// Timeout is the wall-clock time that an evaluation may take, from Acquire
	// to the end of its last call. The context given to Acquire may end it
	// earlier.
	Timeout time.Duration
}

// DefaultLimits are the limits of an engine that was not told otherwise.
var DefaultLimits = Limits{
	ModuleBytes: 128 << 20,
	MemoryBytes: 128 << 20,
	Timeout:     2 * time.Second,
}

// maxMemoryBytes is what 32-bit linear memory can address.
const maxMemoryBytes = 1 << 32

func (l Limits) withDefaults() Limits {
	if l.ModuleBytes == 0 {
		l.ModuleBytes = DefaultLimits.ModuleBytes
	}
	if l.MemoryBytes == 0 {
		l.MemoryBytes = DefaultLimits.MemoryBytes
	}
	if l.Timeout == 0 {
		l.Timeout = DefaultLimits.Timeout
	}
	return l
}

func (l Limits) validate() error {
	switch {
	case l.ModuleBytes < 0:
		return fmt.Errorf("limit on the module's size is %d bytes: must be positive", l.ModuleBytes)
	case l.MemoryBytes < PageSize || l.MemoryBytes > maxMemoryBytes:
		return fmt.Errorf("limit on linear memory is %d bytes: must be between one page (%d) and %d", l.MemoryBytes, PageSize, int64(maxMemoryBytes))
	case l.Timeout < 0:
		return fmt.Errorf("limit on an evaluation's time is %v: must be positive", l.Timeout)
	}
	return nil
}

func (l Limits) memoryPages() uint32 {
	return uint32(l.MemoryBytes / PageSize)
}
