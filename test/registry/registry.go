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

// Package registry starts a real registry for tests. It runs the program in test/registry/server,
// which uses the handlers of the distribution project or of go-containerregistry, as a child
// process.
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

// Options configure a [Registry]. The zero value serves HTTP and needs no credentials.
type Options struct {
	// TLS serves HTTPS, with a certificate from the registry's own authority.
	TLS bool
	// Username and Password are the credentials of the only user. If empty, nobody needs
	// credentials.
	Username, Password string
	// Root is the directory for the content, which another registry can reuse. If empty, it is a
	// temporary directory of the test.
	Root string
	// InMemory uses go-containerregistry instead of distribution. It supports neither users nor
	// Root.
	InMemory bool
	// Referrers serves the referrers API. It needs InMemory, because distribution does not have
	// this API.
	Referrers bool
	// Address is the host:port to listen on. If empty, it is any free port of 127.0.0.1.
	Address string
}

// Registry is a running registry.
type Registry struct {
	// Host is the registry's host:port.
	Host string
	// CA is the path of the authority's certificate in PEM. It is empty without TLS.
	CA string
	// Options are the options of the registry, with defaults filled in.
	Options Options

	stop func()
}

var build sync.Mutex

// Binary returns the path of the registry's program, bin/registry. It builds the program if it does
// not exist.
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
	// Tests in several packages may build at the same time, so build elsewhere and rename.
	temporary, err := os.MkdirTemp(filepath.Dir(binary), "registry-") //nolint:usetesting // renamed later, so it must be on the same file system
	require.NoError(t, err)
	defer func() { require.NoError(t, os.RemoveAll(temporary)) }()
	command := exec.CommandContext(t.Context(), "go", "build", "-o",
		filepath.Join(temporary, "registry"), ".")
	command.Dir = filepath.Join(filepath.Dir(file), "server")
	// For this machine, even if the processor of the tests is emulated.
	command.Env = append(os.Environ(), "GOOS=", "GOARCH=")
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	require.NoError(t, os.Rename(filepath.Join(temporary, "registry"), binary))
	return binary
}

// Start starts a registry that runs until the test ends.
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
	command := exec.Command(Binary(t), arguments...) // exits when its standard input closes
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
	require.NoError(t, err, "the registry must print its address")
	r.Host = strings.TrimSpace(line)
	return r
}

// Stop stops the registry, and returns once it has exited.
func (r *Registry) Stop() { r.stop() }

// certificate creates the registry's certificate, or reuses the one of an earlier registry with the
// same Root.
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

// Repository returns a client for a repository in the registry that may write.
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

// Manifest returns the manifest of a Kubewarden policy with the given layers.
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

// PushBlob pushes a blob and returns its descriptor.
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

// PushManifest pushes a manifest, which is an [ocispec.Manifest] or an [ocispec.Index], and returns
// its digest. It also pushes the empty configuration that all manifests refer to.
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
