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

// Wasmctl shows an item by invocations of wasmctl, one after the other in the directory
// test. In texts $ROOT stands for the repository, $MODULES for
// the URI of a directory with all modules, $DIR for a directory of the item's own,
// $REGISTRY for the host of a registry without TLS, $SECURE for one with TLS that wants
// credentials, $CA for the file that vouches for it, $DOCKER for a directory with
// credentials, $WEB for the URL of a web server and $PROXY for that of a proxy which leads
// to the registry without TLS, whatever is asked for; $SIGNED for a directory with who has signed
// the policies signed/old, signed/bundled and signed/keyless of that registry; $DIGEST is the
// beginning of the digest of the module that registries and web server have, and $LARGE is a text
// of 3 MiB.
type Wasmctl struct {
	// Files are written into the item's directory first: their contents by their names.
	Files map[string]string `json:"files,omitempty"`
	// Steps are the invocations.
	Steps []Step `json:"steps"`
}

// Step is an invocation, and what is expected of it.
type Step struct {
	// Args are the arguments.
	Args []string `json:"args"`
	// Stdin is the standard input.
	Stdin string `json:"stdin,omitempty"`
	// Env are variables, as NAME=value.
	Env []string `json:"env,omitempty"`
	// ExitCode is the one that is expected.
	ExitCode int `json:"exitCode,omitempty"`
	// Values are what the answer, in JSON on the standard output, has at JSON paths such as
	// {.status.code}, as text; a path that the answer lacks is the empty text. Of several
	// answers it is the last.
	Values map[string]string `json:"values,omitempty"`
	// Patch is the patch of the answer in JSON.
	Patch string `json:"patch,omitempty"`
	// Answer is the whole answer: nothing may be added, and keys have their order.
	Answer string `json:"answer,omitempty"`
	// Output are texts that the two outputs together have.
	Output []string `json:"output,omitempty"`
	// Lacks are texts that they do not have.
	Lacks []string `json:"lacks,omitempty"`
	// Proxied is whether the proxy was asked; empty is that it does not matter.
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
