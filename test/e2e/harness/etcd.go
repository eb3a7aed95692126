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

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Etcd is an etcd in its own process, for tests that stop a server's etcd. Its methods are not safe
// for concurrent use.
type Etcd struct {
	// URL is the URL of etcd, for Options. It is the same for the same directory.
	URL string

	process *process
}

// StartEtcd starts an etcd and returns once it serves. It continues with the data in dir. The
// caller must stop it with Kill9.
func StartEtcd(dir string) (*Etcd, error) {
	binary, err := Built("etcd", "etcd")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p, err := startProcess(binary, []string{"-dir=" + dir}, filepath.Join(dir, "etcd.log"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	url, err := p.announcement(ctx, "ETCD=")
	if err != nil {
		p.kill()
		return nil, errors.Join(err, fmt.Errorf("log of etcd:\n%s", p.logs()))
	}
	return &Etcd{URL: url, process: p}, nil
}

// PID returns the process ID.
func (e *Etcd) PID() int { return e.process.cmd.Process.Pid }

// Kill9 kills etcd with SIGKILL, which acts like a crash, and returns once the process has exited.
func (e *Etcd) Kill9() { e.process.kill() }
