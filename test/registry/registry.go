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

// Package registry starts a real registry for tests: the handlers of the distribution
// project, or of go-containerregistry, in a process of their own, which test/registry/server
// builds.
package registry

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	certutil "k8s.io/client-go/util/cert"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Media types of a Kubewarden policy.
const (
	ConfigMediaType = "application/vnd.wasm.config.v1+json"
	LayerMediaType  = "application/vnd.wasm.content.layer.v1+wasm"
)

// Options configure a [Registry]. The zero value speaks HTTP and lets everybody in.
type Options struct {
	// TLS has it speak HTTPS with a certificate of an authority of its own.
	TLS bool
	// Username and Password are of the only user; "" lets everybody in.
	Username, Password string
	// Root keeps the content, so that another registry can go on with it; "" means a
	// directory that is removed when the test ends.
	Root string
	// InMemory has go-containerregistry serve instead of distribution. It has no users,
	// and Root keeps nothing of it.
	InMemory bool
	// Referrers has it serve the referrers API, which distribution does not have.
	Referrers bool
	// Address is host:port to listen on; "" means any port of 127.0.0.1.
	Address string
}

// Registry is a running registry.
type Registry struct {
	// Host is its host:port.
	Host string
	// CA is the path of the certificates in PEM that vouch for it; "" without TLS.
	CA string
	// Options are what it was started with, completed.
	Options Options

	stop func()
}

var build sync.Mutex

// Binary returns the path of the registry's program, bin/registry, which is built if
// it is not there.
func Binary(t testing.TB) string {
	t.Helper()
	build.Lock()
	defer build.Unlock()
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..")
	binary := filepath.Join(root, "bin", "registry")
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(binary), 0o755))
	// Tests of several packages may build at the same time.
	temporary, err := os.MkdirTemp(filepath.Dir(binary), "registry-") //nolint:usetesting // it is renamed: the file system must be the same
	require.NoError(t, err)
	defer func() { require.NoError(t, os.RemoveAll(temporary)) }()
	command := exec.CommandContext(t.Context(), "go", "build", "-o",
		filepath.Join(temporary, "registry"), ".")
	command.Dir = filepath.Join(filepath.Dir(file), "server")
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	require.NoError(t, os.Rename(filepath.Join(temporary, "registry"), binary))
	return binary
}

// Start starts a registry, which ends with the test.
func Start(t testing.TB, options Options) *Registry {
	t.Helper()
	r := &Registry{Options: options}
	if r.Options.Root == "" {
		r.Options.Root = t.TempDir()
	}
	if r.Options.Address == "" {
		r.Options.Address = "127.0.0.1:0"
	}
	arguments := []string{"-root", r.Options.Root, "-address", r.Options.Address}
	if options.TLS {
		certificate, key := r.certificate(t)
		arguments = append(arguments, "-certificate", certificate, "-key", key)
	}
	if options.Username != "" {
		arguments = append(arguments, "-user", options.Username+":"+options.Password)
	}
	if options.InMemory {
		arguments = append(arguments, "-in-memory", fmt.Sprintf("-referrers=%t", options.Referrers))
	}
	command := exec.Command(Binary(t), arguments...) // it ends with its standard input
	stdin, err := command.StdinPipe()
	require.NoError(t, err)
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	command.Stderr = os.Stderr
	require.NoError(t, command.Start())
	r.stop = sync.OnceFunc(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	t.Cleanup(r.stop)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "the registry says where it listens")
	r.Host = strings.TrimSpace(line)
	return r
}

// Stop ends the registry, and returns when it has.
func (r *Registry) Stop() { r.stop() }

// certificate makes the registry's certificate, or takes that of the one before it.
func (r *Registry) certificate(t testing.TB) (certificate, key string) {
	t.Helper()
	certificate, key = filepath.Join(r.Options.Root, "tls.crt"),
		filepath.Join(r.Options.Root, "tls.key")
	r.CA = certificate
	if _, err := os.Stat(certificate); err == nil {
		return certificate, key
	}
	certificatePEM, keyPEM, err := certutil.GenerateSelfSignedCertKey("127.0.0.1",
		[]net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certificate, certificatePEM, 0o600))
	require.NoError(t, os.WriteFile(key, keyPEM, 0o600))
	return certificate, key
}

// Repository returns a client for a repository of the registry, with the right to
// write.
func (r *Registry) Repository(t testing.TB, name string) *remote.Repository {
	t.Helper()
	repository, err := remote.NewRepository(r.Host + "/" + name)
	require.NoError(t, err)
	repository.PlainHTTP = !r.Options.TLS
	repository.Client = &auth.Client{
		Client: r.client(t),
		Credential: auth.StaticCredential(r.Host,
			auth.Credential{Username: r.Options.Username, Password: r.Options.Password}),
	}
	return repository
}

// Push pushes a module as kwctl does, under a tag, and returns the digest of the
// manifest.
func (r *Registry) Push(t testing.TB, name, tag string, wasm []byte) string {
	t.Helper()
	return r.PushManifest(t, name, tag, Manifest(r.PushBlob(t, name, LayerMediaType, wasm)))
}

// Manifest returns the manifest of a Kubewarden policy with the layers given.
func Manifest(layers ...ocispec.Descriptor) ocispec.Manifest {
	m := ocispec.Manifest{
		Config: ocispec.Descriptor{
			MediaType: ConfigMediaType,
			Digest:    digest.FromString("{}"),
			Size:      2,
		},
		Layers: layers,
	}
	m.SchemaVersion = 2
	return m
}

// PushBlob pushes a blob and returns its description.
func (r *Registry) PushBlob(t testing.TB, name, mediaType string,
	content []byte) ocispec.Descriptor {
	t.Helper()
	descriptor := ocispec.Descriptor{
		MediaType: mediaType,
		Digest:    digest.FromBytes(content),
		Size:      int64(len(content)),
	}
	require.NoError(t,
		r.Repository(t, name).Blobs().Push(context.Background(), descriptor,
			bytes.NewReader(content)))
	return descriptor
}

// PushManifest pushes a manifest, and the empty configuration that all of them name,
// and returns its digest. It is an [ocispec.Manifest], or an [ocispec.Index].
func (r *Registry) PushManifest(t testing.TB, name, tag string, manifest any) string {
	t.Helper()
	r.PushBlob(t, name, ConfigMediaType, []byte("{}"))
	content, err := json.Marshal(manifest)
	require.NoError(t, err)
	mediaType := ocispec.MediaTypeImageManifest
	if _, ok := manifest.(ocispec.Index); ok {
		mediaType = ocispec.MediaTypeImageIndex
	}
	descriptor := ocispec.Descriptor{
		MediaType: mediaType,
		Digest:    digest.FromBytes(content),
		Size:      int64(len(content)),
	}
	require.NoError(t,
		r.Repository(t, name).PushReference(context.Background(), descriptor,
			bytes.NewReader(content), tag))
	return descriptor.Digest.String()
}
