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

// Package etcd runs a single-member etcd inside this process, for development and tests.
package etcd

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
)

// maxSocketPath is the longest path of a unix socket that every system supports: sun_path holds 104
// bytes on BSD and macOS and 108 on Linux, including the final zero byte.
const maxSocketPath = 103

// Member is a running single-member etcd that listens only on a unix socket.
type Member struct {
	// URL is its address, in the form of --etcd-servers.
	URL string

	server  *embed.Etcd
	cleanup func()
}

// Start starts an etcd with its data in dir, and returns once it serves. It uses existing data in
// dir.
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
	// A member without peers needs no peer listener. Its peer address is stored with the cluster,
	// but never used.
	cfg.ListenPeerUrls = nil
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	// Writes reach the page cache in order, and killing the process does not lose them. Only a
	// crash of the machine would lose data.
	cfg.UnsafeNoFsync = true
	// An election has no other participants to wait for.
	cfg.TickMs, cfg.ElectionMs = 10, 100
	return cfg
}

// socketPath returns a path for the socket, and a function to clean up. The socket is in dir if
// that path is short enough, and otherwise in a new temporary directory.
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

// Close stops the member and returns after that. It must be called only once.
func (e *Member) Close() {
	e.server.Close()
	e.cleanup()
}
