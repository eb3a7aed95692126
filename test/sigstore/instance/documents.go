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

package instance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// logOrigin is the origin that the logs sign. Clients expect the host of the log's URL.
const logOrigin = "127.0.0.1"

// writeDocuments writes the documents that clients need, with cosign.
func (i *Instance) writeDocuments(ctx context.Context) error {
	if err := i.WriteTrustedRoot(ctx, i.options.Directory, i.Path(TrustedRoot)); err != nil {
		return err
	}
	signing := ",api-version=%d,start-time=" + since() + ",operator=localhost"
	if err := i.cosign(
		ctx, "signing-config", "create", "--out", i.Path(SigningConfig),
		"--fulcio", "url="+i.Fulcio+fmt.Sprintf(signing, 1),
		"--oidc-provider", "url="+i.Issuer.URL+fmt.Sprintf(signing, 1),
		"--rekor", "url="+i.Rekor+fmt.Sprintf(signing, 2), "--rekor-config", "ANY",
		"--tsa", "url="+i.Timestamps+fmt.Sprintf(signing, 1), "--tsa-config", "ANY",
	); err != nil {
		return err
	}
	parts := map[string]json.RawMessage{
		"mediaType": json.RawMessage(`"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"`),
	}
	for field, name := range map[string]string{
		"trustedRoot":   TrustedRoot,
		"signingConfig": SigningConfig,
	} {
		content, err := os.ReadFile(i.Path(name))
		if err != nil {
			return err
		}
		parts[field] = content
	}
	document, err := json.Marshal(parts)
	if err != nil {
		return err
	}
	return os.WriteFile(i.Path(ClientTrustConfig), document, 0o600)
}

// OlderArguments returns the arguments with which cosign signs in its older format with a token.
func (i *Instance) OlderArguments() []string {
	return []string{
		"--use-signing-config=false", "--new-bundle-format=false", "--fulcio-url", i.Fulcio,
		"--rekor-url", i.OlderRekor, "--trusted-root", i.Path(TrustedRoot),
	}
}

// WriteTrustedRoot writes a trusted_root.json for the keys in a directory, which may belong to
// another instance.
func (i *Instance) WriteTrustedRoot(ctx context.Context, keys, path string) error {
	of := func(name string) string { return filepath.Join(keys, name) + ",start-time=" + since() }
	return i.cosign(
		ctx, "trusted-root", "create", "--out", path,
		"--fulcio", "url="+i.Fulcio+",certificate-chain="+of(fulcioChainFile),
		"--ctfe", "url="+i.Certificates+",public-key="+of(certificatesPublicFile),
		"--rekor", "url="+i.Rekor+",public-key="+of(rekorPublicFile)+",origin="+logOrigin,
		"--rekor", "url="+i.OlderRekor+",public-key="+of(olderRekorPublicFile),
		"--tsa", "url="+i.Timestamps+",certificate-chain="+of(timestampChainFile),
	)
}

// since returns the time from which all parts are trusted.
func since() string { return time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339) }

func (i *Instance) cosign(ctx context.Context, arguments ...string) error {
	command := exec.CommandContext(ctx, i.options.Cosign, arguments...)
	command.Env = []string{
		"HOME=" + i.options.Directory, "PATH=" + os.Getenv("PATH"), "SIGSTORE_NO_CACHE=true",
	}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("cosign %s: %w: %s", arguments[0], err, bytes.TrimSpace(output))
	}
	return nil
}
