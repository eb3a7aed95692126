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

package dev

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// state is the directory for all files. Only one process at a time may use it.
type state struct {
	dir       string // absolute
	temporary bool
	lock      *fileutil.LockedFile
}

// openState creates dir, or a new temporary directory if dir is empty, and locks it. Without the
// lock, a second server would wait forever in etcd.
func openState(dir string) (*state, error) {
	s := &state{temporary: dir == ""}
	var err error
	if s.temporary {
		s.dir, err = os.MkdirTemp("", "kube-apiserver-dev-")
	} else if s.dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(s.dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s.lock, err = fileutil.TryLockFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fileutil.ErrLocked) {
		return nil, fmt.Errorf("state directory %s: another server uses it", s.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("state directory %s: locking it: %w", s.dir, err)
	}
	return s, nil
}

// close unlocks the directory, and removes a temporary one.
func (s *state) close() error {
	err := s.lock.Close()
	if s.temporary {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	if err != nil {
		return fmt.Errorf("state directory %s: %w", s.dir, err)
	}
	return nil
}

// endOnSignals calls end at the first SIGINT or SIGTERM. The second signal ends the process at
// once, and removes a temporary directory. Call stop to stop the handling of signals.
func (s *state) endOnSignals(end func()) (stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		end()
		if _, ok := <-signals; !ok {
			return
		}
		s.abandon()
		os.Exit(1)
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// abandon removes a temporary directory that another goroutine may still write to.
func (s *state) abandon() {
	if !s.temporary {
		return
	}
	const tries = 10
	for range tries {
		if os.RemoveAll(s.dir) == nil {
			return
		}
	}
}
