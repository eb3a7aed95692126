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

package conformance

import (
	"errors"
	"fmt"
)

// Wasmctl shows an item with invocations of wasmctl, in order, in the directory test. Texts can
// contain these placeholders: $ROOT is the repository's directory, $MODULES the URI of a directory
// with all modules, and $DIR the item's own directory. $REGISTRY is the host of a registry without
// TLS, and $SECURE of one with TLS that needs credentials. $CA is the file with the certificate
// authority of $SECURE, and $DOCKER a directory with its credentials. $WEB is the URL of a web
// server, and $PROXY the URL of a proxy that forwards all requests to $REGISTRY. $SIGNED is a
// directory with the keys and the trust root for the policies signed/old, signed/bundled and
// signed/keyless in $REGISTRY. $DIGEST is a prefix of the digest of the module on the registries
// and the web server, and $LARGE is a text of 3 MiB.
type Wasmctl struct {
	// Files are written to the item's directory first. They map names to contents.
	Files map[string]string `json:"files,omitempty"`
	// Steps are the invocations.
	Steps []Step `json:"steps"`
}

// Step is an invocation with its expected result.
type Step struct {
	// Args are the arguments.
	Args []string `json:"args"`
	// Stdin is the standard input.
	Stdin string `json:"stdin,omitempty"`
	// Env are environment variables, as NAME=value.
	Env []string `json:"env,omitempty"`
	// ExitCode is the expected exit code.
	ExitCode int `json:"exitCode,omitempty"`
	// Values are the values, as text, at JSON paths such as {.status.code} in the response. The
	// response is the JSON on standard output, or the last one of several. The value of a missing
	// path is empty.
	Values map[string]string `json:"values,omitempty"`
	// Patch is the patch in the response, in JSON.
	Patch string `json:"patch,omitempty"`
	// Answer is the whole response. It must have no other fields, and the same order of keys.
	Answer string `json:"answer,omitempty"`
	// Output are texts in the standard output or the standard error.
	Output []string `json:"output,omitempty"`
	// Lacks are texts that must not be in either output.
	Lacks []string `json:"lacks,omitempty"`
	// Proxied is whether the proxy must be used. If nil, it does not matter.
	Proxied *bool `json:"proxied,omitempty"`
}

func (w *Wasmctl) validate() error {
	if len(w.Steps) == 0 {
		return errors.New("steps are required")
	}
	expected := false
	for n, step := range w.Steps {
		if len(step.Args) == 0 {
			return fmt.Errorf("steps[%d]: args are required", n)
		}
		expected = expected || len(step.Values)+len(step.Output)+len(step.Patch)+
			len(step.Answer) > 0
	}
	if !expected {
		return errors.New("no step expects values, a patch, an answer or output")
	}
	return nil
}
