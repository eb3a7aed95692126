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

// Command serve runs a private instance of Sigstore on loopback until it is interrupted. See `make
// sigstore`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/wasm-admission/wasm-admission/test/sigstore/instance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sigstore: "+err.Error())
		os.Exit(1)
	}
}

func serve(ctx context.Context) (err error) {
	directory, err := os.MkdirTemp("", "wasm-admission-sigstore-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	i, err := instance.Start(ctx, instance.Options{Directory: directory})
	if err != nil {
		return err
	}
	defer func() { err = i.Stop() }()
	fmt.Printf(usage, i.Fulcio, i.Rekor, i.Timestamps, i.Issuer.URL, instance.GitHub, i.Path(""),
		i.Path(instance.TrustedRoot), i.Path(instance.SigningConfig),
		i.Path(instance.ClientTrustConfig), i.OlderRekor)
	<-ctx.Done()
	return nil
}

const usage = `A private Sigstore serves on loopback, until Ctrl-C:

  Fulcio      %[1]s
  Rekor 2     %[2]s
  Rekor 1     %[10]s
  timestamps  %[3]s
  tokens      %[4]s (and, to Fulcio, %[5]s)

Its keys, logs and documents are in %[6]s, and go with it.

Sign without a key, an image and a file (http is for a registry without TLS):

  curl -sf '%[4]s/token?email=me@example.com' > token
  cosign sign --yes --identity-token token --signing-config %[8]s --trusted-root %[7]s --allow-http-registry IMAGE@DIGEST
  cosign sign-blob --yes --identity-token token --signing-config %[8]s --trusted-root %[7]s --bundle FILE.sigstore.json FILE

As a workflow of GitHub:

  curl -sf '%[4]s/token?repository=owner/name&workflow=release.yml&ref=refs/tags/v1' > token

Have the apiserver trust it:

  verification:
    trustRoot: {file: %[7]s}   # or %[9]s
    config:
      apiVersion: v1
      allOf:
      - {kind: genericIssuer, issuer: "%[4]s", subject: {equal: me@example.com}}
      # or {kind: githubAction, owner: owner, repo: name}
`
