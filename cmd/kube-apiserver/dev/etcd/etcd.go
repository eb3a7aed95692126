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

// Package etcd runs an etcd of one member inside this process, for development and
// tests.
package etcd

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
)

// maxSocketPath is the longest path that a unix socket can have on every
// system: sun_path holds 104 bytes on BSD and macOS, 108 on Linux, and ends in
// a zero byte.
const maxSocketPath = 103

// Member is a running etcd of one member that listens on a unix socket alone.
type Member struct {
	// URL is where it serves, as --etcd-servers takes it.
	URL string

	server  *embed.Etcd
	cleanup func()
}

// Start starts an etcd with its data in dir and returns once it serves. It
// goes on with the data that it finds there.
func Start(ctx context.Context, dir string) (*Member, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	socket, cleanup, err := socketPath(dir)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	e := &Member{URL: "unix://" + socket, cleanup: cleanup}
	if e.server, err = embed.StartEtcd(config(dir, socket)); err != nil {
		cleanup()
		return nil, fmt.Errorf("etcd: %w", err)
	}
	select {
	case <-e.server.Server.ReadyNotify():
		return e, nil
	case err = <-e.server.Err():
	case <-e.server.Server.StopNotify():
		err = fmt.Errorf("stopped while starting")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	e.Close()
	return nil, fmt.Errorf("etcd: %w", err)
}

func config(dir, socket string) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.LogLevel = "error"
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: socket}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	// A member without peers listens for none. The address that it would have
	// is stored with the cluster and never dialled.
	cfg.ListenPeerUrls = nil
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	// What was written reaches the page cache in order, and a killed process
	// does not empty that. Only the death of the machine would lose data.
	cfg.UnsafeNoFsync = true
	// There is nobody to wait for in an election.
	cfg.TickMs, cfg.ElectionMs = 10, 100
	return cfg
}

// socketPath returns where to put the socket, in dir if that is short enough
// for a socket and in a new temporary directory if not, and what removes the
// latter.
func socketPath(dir string) (path string, cleanup func(), err error) {
	const name = "client.sock"
	if path := filepath.Join(dir, name); len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	temporary, err := os.MkdirTemp("", "kube-apiserver-dev-")
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(temporary, name), func() { _ = os.RemoveAll(temporary) }, nil
}

// Close stops the member and returns once it has. It is called once.
func (e *Member) Close() {
	e.server.Close()
	e.cleanup()
}
