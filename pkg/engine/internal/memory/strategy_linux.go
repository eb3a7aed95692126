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

package memory

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// open returns the space and the restorer of a range with the given limit in bytes.
func open(strategy Strategy, limit uint64) (space, restorer, error) {
	way, err := newRestorer(strategy)
	if err != nil {
		return nil, nil, err
	}
	m, err := newMapping(limit, strategy == Copy)
	if err != nil {
		return nil, nil, err
	}
	return m, way, nil
}

func newRestorer(strategy Strategy) (restorer, error) {
	switch strategy {
	case Madvise:
		return dropping{}, nil
	case Copy:
		return copying{}, nil
	}
	fd, err := openPagemap()
	if err != nil {
		return nil, fmt.Errorf("open /proc/self/pagemap: %w", err)
	}
	if strategy == PagemapScan {
		return finding{scanFinder{fd}}, nil
	}
	return finding{entryFinder{fd}}, nil
}

// openPagemap opens the process's page map once. Reads at an offset and PAGEMAP_SCAN share no
// state.
var openPagemap = sync.OnceValues(func() (int, error) {
	return unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
})
