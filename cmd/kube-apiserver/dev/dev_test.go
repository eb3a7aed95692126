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
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"
)

// execute runs the command with serve as the server.
func execute(t *testing.T, serve Serve, args ...string) (stdout string, err error) {
	var out bytes.Buffer
	cmd := NewCommand(serve)
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(""))
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestFlagsOfTheServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	var got []string
	_, err := execute(t, func(_ context.Context, flags []string, listener net.Listener) error {
		got = flags
		require.NoError(t, listener.Close())
		return nil
	}, "--dir", dir, "--", "--v=2", "--allow-privileged=false")
	require.NoError(t, err)
	require.Contains(t, got, "--disable-admission-plugins=ServiceAccount")
	require.Equal(t, []string{"--v=2", "--allow-privileged=false"}, got[len(got)-2:],
		"the user's come last and override")
	require.DirExists(t, dir)
}

func TestTemporaryDirectoryGoesAtExit(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	failure := errors.New("refused to start")
	_, err := execute(t, func(context.Context, []string, net.Listener) error {
		entries, err := os.ReadDir(os.TempDir())
		require.NoError(t, err)
		require.NotEmpty(t, entries)
		return failure
	})
	require.ErrorIs(t, err, failure)
	entries, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestEndsWithStandardInput(t *testing.T) {
	_, err := execute(t, func(ctx context.Context, _ []string, _ net.Listener) error {
		<-ctx.Done() // standard input has ended from the start
		return nil
	}, "--exit-on-stdin-eof")
	if err != nil { // standard input may end before etcd has started
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	_, err = execute(t, nil, "--port", port)
	require.ErrorContains(t, err, "listening for the API server")
}

func TestStateIsLocked(t *testing.T) {
	dir := t.TempDir()
	first, err := openState(dir)
	require.NoError(t, err)
	_, err = openState(dir)
	require.ErrorContains(t, err, dir+": another server uses it")
	require.NoError(t, first.close())
	second, err := openState(dir)
	require.NoError(t, err)
	require.NoError(t, second.close())
	require.DirExists(t, dir)
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	files, err := writeCredentials(dir, listener.Addr())
	require.NoError(t, err)
	serviceAccountKey, err := os.ReadFile(files.serviceAccountKey)
	require.NoError(t, err)

	t.Run("server and administrator trust each other", func(t *testing.T) {
		config, err := clientcmd.BuildConfigFromFlags("", files.kubeconfig)
		require.NoError(t, err)
		require.Equal(t, "https://"+listener.Addr().String(), config.Host)
		client, err := tls.X509KeyPair(config.CertData, config.KeyData)
		require.NoError(t, err)
		require.Equal(t, []string{"system:masters"}, client.Leaf.Subject.Organization)
		server, err := tls.LoadX509KeyPair(files.servingCert, files.servingKey)
		require.NoError(t, err)
		roots, err := cert.NewPool(files.ca)
		require.NoError(t, err)
		for _, host := range []string{"127.0.0.1", "localhost"} {
			_, err = server.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
			require.NoError(t, err)
		}
		_, err = client.Leaf.Verify(x509.VerifyOptions{
			Roots:     roots,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		require.NoError(t, err)
	})
	t.Run("only the owner reads them", func(t *testing.T) {
		for _, path := range []string{files.servingKey, files.serviceAccountKey, files.kubeconfig} {
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Zero(t, info.Mode().Perm()&0o077, "%s is %s", path, info.Mode())
		}
	})
	t.Run("the key of service accounts outlives a restart", func(t *testing.T) {
		_, err := writeCredentials(dir, listener.Addr())
		require.NoError(t, err)
		again, err := os.ReadFile(files.serviceAccountKey)
		require.NoError(t, err)
		require.Equal(t, serviceAccountKey, again)
	})
}
