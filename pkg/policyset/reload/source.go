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

package reload

import (
	"cmp"
	"context"
	"slices"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// Source says which policies are to be served. It is asked again and again, one call
// after the other.
type Source interface {
	// Policies returns the policies as they are wanted now, validated. An error, with a
	// line for each problem, is a bad change and never the wish for no policies; what
	// comes with it has a hash and warnings, if they are known, and nothing else. Neither is changed by
	// the caller.
	Policies(ctx context.Context) (*Desired, error)
	// Paths are the files and directories whose change may change the answer. It may be
	// called at the same time as Policies.
	Paths() []string
}

// Desired is what a [Source] wants to be served.
type Desired struct {
	Policies     []wasmadmission.Policy
	PolicyGroups []wasmadmission.PolicyGroup
	// Hash is the SHA-256 of all that they were read from, in hexadecimal digits: the
	// same for the same files. "" means that it is not known.
	Hash string
	// Origins say where policies and groups come from, by name, if that is not obvious.
	Origins map[string]string
	// Warnings are lines for the administrator.
	Warnings []string
}

// address is where a policy says that its module is, and which it has to be.
type address struct {
	URI string
	// Digest is the one that the policy asks for, "" if it takes any.
	Digest string
}

// modules returns the addresses of all modules, each once, in order.
func (d *Desired) modules() []address {
	var all []address
	for n := range d.Policies {
		all = append(all, address{d.Policies[n].Module, d.Policies[n].Digest})
	}
	for n := range d.PolicyGroups {
		for m := range d.PolicyGroups[n].Policies {
			member := &d.PolicyGroups[n].Policies[m]
			all = append(all, address{member.Module, member.Digest})
		}
	}
	slices.SortFunc(all, func(a, b address) int { return cmp.Or(cmp.Compare(a.URI, b.URI), cmp.Compare(a.Digest, b.Digest)) })
	return slices.Compact(all)
}
