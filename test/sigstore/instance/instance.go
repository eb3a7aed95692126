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

// Package instance starts a private instance of Sigstore on loopback from the real components:
// Fulcio with an authority in files, TesseraCT as its certificate transparency log, Rekor 2 with a
// log in files, the timestamp authority, and Rekor 1 for signatures in the format of cosign 2.
// `make sigstore-parts` builds them. The token issuer is our own, and issues any token that is
// requested. Use it only for tests and experiments.
package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// Files that an instance writes for its clients.
const (
	// TrustedRoot contains the authorities and logs to trust.
	TrustedRoot = "trusted_root.json"
	// SigningConfig tells cosign which services to sign with.
	SigningConfig = "signing_config.json"
	// ClientTrustConfig contains both in one document.
	ClientTrustConfig = "client_trust_config.json"
)

// Options configure an [Instance].
type Options struct {
	// Directory is for keys, documents, log entries, and the output of the parts. It must exist and
	// be private.
	Directory string
	// Parts is the directory with the programs fulcio, rekor-server and timestamp-server. If empty,
	// it is the directory to which make writes them.
	Parts string
	// Cosign is the program that writes the documents. If empty, it is the one that make builds.
	Cosign string
}

// Instance is a running instance of Sigstore. Its methods are safe for concurrent use, except Stop.
type Instance struct {
	// Fulcio, Rekor and Timestamps are the URLs of the parts. Timestamps is the URL that requests
	// go to.
	Fulcio, Rekor, Timestamps string
	// OlderRekor is the URL of Rekor 1.
	OlderRekor string
	// Certificates is the URL of the certificate transparency log.
	Certificates string
	// Issuer issues tokens.
	Issuer *Issuer
	// Keys are the keys of the parts.
	Keys *Keys

	options Options
	stop    context.CancelFunc
	parts   []*part
}

// cache returns a path below the directory to which make writes programs for tests.
func cache(parts ...string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(append([]string{filepath.Dir(file), "..", "..", "..", ".cache"},
		parts...)...)
}

// Built returns an error if a program that an instance needs is missing.
func Built(options Options) error {
	options.complete()
	paths := []string{options.Cosign}
	for _, name := range []string{
		"fulcio", "tesseract", "rekor-server", "timestamp-server", "trillian", "older-rekor-server",
	} {
		paths = append(paths, options.program(name))
	}
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf(
				"a part of Sigstore is missing, run `make cosign sigstore-parts`: %w", err)
		}
	}
	return nil
}

func (o *Options) complete() {
	if o.Parts == "" {
		o.Parts = cache("sigstore")
	}
	if o.Cosign == "" {
		o.Cosign = cache("cosign", "cosign")
	}
}

func (o *Options) program(name string) string { return filepath.Join(o.Parts, name) }

// Start starts an instance, and returns once all parts serve. The caller must stop it. It also
// stops when the context ends.
func Start(ctx context.Context, options Options) (*Instance, error) {
	if err := Built(options); err != nil {
		return nil, err
	}
	options.complete()
	keys, err := NewKeys(options.Directory)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	issuer, err := newIssuer(options.Directory)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	i := &Instance{options: options, Keys: keys, Issuer: issuer, stop: stop}
	if err := i.start(ctx); err != nil {
		return nil, errors.Join(err, i.Stop())
	}
	return i, nil
}

// Path returns the path of one of the instance's files.
func (i *Instance) Path(name string) string { return filepath.Join(i.options.Directory, name) }

// Stop stops all parts, and returns once they have exited.
func (i *Instance) Stop() error {
	i.stop()
	for _, p := range i.parts {
		<-p.done
	}
	return i.Issuer.close()
}

func (i *Instance) start(ctx context.Context) error {
	ports, err := freePorts(10)
	if err != nil {
		return err
	}
	err = os.WriteFile(i.Path("fulcio.yaml"), []byte(i.Issuer.fulcioConfig()), 0o600)
	if err != nil {
		return err
	}
	// Start the parts one by one. The timestamp authority always serves metrics on port 2112, and
	// exits if it cannot. The older Rekor would use this port too, but works without it.
	for _, p := range append(i.current(ports), i.older(ports)...) {
		if err := p.start(ctx, i.options); err != nil {
			return err
		}
		i.parts = append(i.parts, p)
		if err := p.serves(ctx); err != nil {
			return err
		}
	}
	return i.writeDocuments(ctx)
}

// current returns the parts that current cosign signs with.
func (i *Instance) current(ports []int) []*part {
	port := func(n int) string { return strconv.Itoa(ports[n]) }
	i.Fulcio, i.Rekor = "http://127.0.0.1:"+port(0), "http://127.0.0.1:"+port(3)
	i.Certificates = "http://127.0.0.1:" + port(7)
	i.Timestamps = "http://127.0.0.1:" + port(6) + "/api/v1/timestamp"
	return []*part{
		{
			name: "timestamp-server", ready: i.Timestamps + "/certchain",
			arguments: []string{
				"serve", "--host=127.0.0.1", "--port=" + port(6), "--disable-ntp-monitoring",
				"--timestamp-signer=file",
				"--file-signer-key-path=" + i.Path(timestampKeyFile), "--file-signer-passwd=none",
				"--certificate-chain-path=" + i.Path(timestampChainFile),
			},
		},
		{
			name: "tesseract", ready: i.Certificates + "/ct/v1/get-roots",
			arguments: []string{
				"--http_endpoint=127.0.0.1:" + port(7),
				"--private_key=" + i.Path(certificatesKeyFile), "--origin=" + logOrigin,
				"--storage_dir=" + i.Path("certificates"),
				"--roots_pem_file=" + i.Path(fulcioChainFile), "--ext_key_usages=CodeSigning",
				"--batch_max_age=50ms", "--checkpoint_interval=100ms",
			},
		},
		{
			name: "fulcio", ready: i.Fulcio + "/api/v2/trustBundle",
			environment: i.Issuer.environment(),
			arguments: []string{
				"serve", "--host=127.0.0.1", "--port=" + port(0), "--grpc-host=127.0.0.1",
				"--grpc-port=" + port(1), "--metrics-port=" + port(2),
				"--legacy-unix-domain-socket=@fulcio-" + port(0),
				"--config-path=" + i.Path("fulcio.yaml"), "--ct-log-url=" + i.Certificates,
				"--ca=fileca", "--fileca-cert=" + i.Path(fulcioChainFile), "--fileca-key=" +
					i.Path(fulcioKeyFile), "--fileca-key-passwd=none", "--fileca-watch=false",
			},
		},
		{
			name: "rekor-server", ready: i.Rekor + "/healthz",
			arguments: []string{
				"serve", "--http-address=127.0.0.1", "--http-port=" + port(3),
				"--grpc-address=127.0.0.1", "--grpc-port=" + port(4),
				"--http-metrics-port=" + port(5),
				"--hostname=" + logOrigin, "--storage-dir=" + i.Path("log"),
				"--signer-filepath=" + i.Path(rekorKeyFile),
				"--batch-max-age=50ms", "--checkpoint-interval=100ms",
			},
		},
	}
}

// older returns the parts for the log of signatures in the format of cosign 2.
func (i *Instance) older(ports []int) []*part {
	i.OlderRekor = fmt.Sprintf("http://127.0.0.1:%d", ports[9])
	return []*part{
		{
			name: "trillian", ready: fmt.Sprintf("tcp://127.0.0.1:%d", ports[8]),
			arguments: []string{fmt.Sprintf("-address=127.0.0.1:%d", ports[8])},
		},
		{
			name: "older-rekor-server", ready: i.OlderRekor + "/api/v1/log",
			arguments: []string{
				"serve", "--rekor_server.address=127.0.0.1", fmt.Sprintf("--port=%d", ports[9]),
				"--rekor_server.hostname=" + logOrigin,
				fmt.Sprintf("--trillian_log_server.port=%d", ports[8]), "--rekor_server.signer=" +
					i.Path(olderRekorKeyFile), "--enable_retrieve_api=false",
			},
		},
	}
}
