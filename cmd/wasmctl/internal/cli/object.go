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
	"slices"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
)

// objectFlags select the request that is built from an object.
type objectFlags struct {
	operation, user string
	groups          []string
	flags           *pflag.FlagSet
}

func (f *objectFlags) add(flags *pflag.FlagSet) {
	f.flags = flags
	flags.StringVar(&f.operation, "operation", "CREATE",
		"`operation` of a request that is made from an object: CREATE, UPDATE (from the same object) or DELETE")
	flags.StringVar(&f.user, "user", "kubernetes-admin",
		"`name` of the user in a request that is made from an object")
	flags.StringArrayVar(&f.groups, "group", []string{"system:authenticated"},
		"`group` of the user in a request that is made from an object; may be repeated")
}

// object returns the selected request. All policies receive the same one.
func (f *objectFlags) object() (review.Object, error) {
	if !slices.Contains(review.Operations, f.operation) {
		return review.Object{}, usagef("--operation: there is no %q of an object: write one of %v",
			f.operation, review.Operations)
	}
	return review.Object{
		UID:       uuid.NewUUID(),
		Operation: f.operation,
		User:      f.user,
		Groups:    f.groups,
	}, nil
}

// checkUnused refuses these flags for a request that is not built from an object.
func (f *objectFlags) checkUnused(request *review.Request) error {
	for _, name := range []string{"operation", "user", "group"} {
		if !request.Made && f.flags.Changed(name) {
			return usagef(
				"--%s applies only to a request built from an object: remove the flag, or give an object with apiVersion and kind",
				name)
		}
	}
	return nil
}
