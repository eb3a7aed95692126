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

package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/signatures"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// signatures finds the signatures of a module that was fetched.
func (c *command) signatures(ctx context.Context, f *registryFlags, argument,
	digest string) (*signatures.Report, error) {
	uri, err := sources.URI(argument)
	if err != nil {
		return nil, err
	}
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	if options.Policies, err = policystore.Default(); err != nil {
		options.Policies = nil // nothing was pulled in this case
	}
	var fetcher *sources.Fetcher
	defer c.Progress("Looking for signatures of " + module.Redact(argument))()
	report := signatures.Look(c.quietly(ctx), module.Request{URI: uri, Digest: digest},
		func(v module.Verifier) signatures.Fetcher {
			options.Verifier = v
			fetcher = sources.NewFetcher(options)
			return fetcher
		})
	return report, fetcher.Close()
}

// notVerified is the note on all signatures that are shown.
const notVerified = "not verified: their author may have invented all of it"

// writeSignatures writes the signatures that were found.
func (c *command) writeSignatures(w io.Writer, r *signatures.Report) error {
	if r == nil {
		return nil
	}
	fmt.Fprintf(w, "\n%s:\n", c.Paint(terminal.Bold, "Signatures ("+notVerified+")"))
	if len(r.Found)+len(r.Problems) == 0 {
		fmt.Fprintln(w, "  No sigstore signatures found") // the text that Kubewarden's users know
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(w, "  Cannot determine if the policy has been signed: %s\n",
			terminal.Plain(problem))
	}
	for n := range r.Found {
		found := &r.Found[n]
		fmt.Fprintf(w, "  %s\n", terminal.Plain(found.Place))
		if err := columns(w, func(w io.Writer) { writeSignature(w, found) }); err != nil {
			return err
		}
	}
	return nil
}

func writeSignature(w io.Writer, f *signatures.Found) {
	line := func(title, text string) {
		if text != "" {
			fmt.Fprintf(w, "    %s:\t%s\n", title, terminal.Plain(text))
		}
	}
	line("Format", f.Format)
	if certificate := f.Certificate; certificate != nil {
		line("Certificate", "of "+strings.Join(certificate.Subjects, ", ")+certificate.NoIdentity)
		line("Issuer", certificate.Issuer)
		for _, name := range sortedKeys(certificate.Extensions) {
			line(name, certificate.Extensions[name])
		}
		line("Valid", certificate.NotBefore.Format(time.RFC3339)+" to "+
			certificate.NotAfter.Format(time.RFC3339))
	} else if f.Problem == "" {
		line("Key", hint(f.KeyHint))
	}
	for _, name := range sortedKeys(f.Annotations) {
		line("Annotation", name+"="+f.Annotations[name])
	}
	for _, entry := range f.Log {
		text := "entry " + strconv.FormatInt(entry.Index, 10) + " of " + entry.LogID
		if entry.Time != nil {
			text += ", " + entry.Time.Format(time.RFC3339)
		}
		line("Log", text)
	}
	for _, at := range f.Timestamps {
		line("Timestamp", at.Format(time.RFC3339))
	}
	line("Problem", f.Problem)
}

// hint formats the hint of a key.
func hint(text string) string {
	if text == "" {
		return "it does not say which"
	}
	return text
}
