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

package validation

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// Bounds of a break-glass file.
const (
	maxBreakGlass            = 24 * time.Hour // how far ahead its end may be
	maxBreakGlassPolicies    = 1000
	maxBreakGlassReasonBytes = 1024
)

// ValidateBreakGlass returns everything that is wrong with the content of a break-glass file that
// is read at the time now. It returns nothing if the file is valid.
func ValidateBreakGlass(order *wasmadmission.BreakGlass, now time.Time) (errs field.ErrorList) {
	until := field.NewPath("until")
	switch {
	case order.Until.IsZero():
		errs = append(errs,
			field.Required(until, "write a time in RFC 3339 format, such as 2006-01-02T15:04:05Z"))
	case !order.Until.After(now):
		errs = append(errs,
			field.Invalid(until, order.Until.UTC().Format(time.RFC3339),
				fmt.Sprintf("has passed: write a later time, at most %s ahead, or remove the file",
					maxBreakGlass)))
	case order.Until.Sub(now) > maxBreakGlass:
		errs = append(errs,
			field.Invalid(until, order.Until.UTC().Format(time.RFC3339),
				fmt.Sprintf("is more than %s ahead: write an earlier time", maxBreakGlass)))
	}
	if n := len(order.Reason); n == 0 || n > maxBreakGlassReasonBytes {
		errs = append(errs,
			field.Invalid(field.NewPath("reason"), "",
				fmt.Sprintf("has %d bytes: write why, in at most %d", n, maxBreakGlassReasonBytes)))
	}
	return append(errs, validateBreakGlassPolicies(order.Policies, field.NewPath("policies"))...)
}

func validateBreakGlassPolicies(names []string, fldPath *field.Path) (errs field.ErrorList) {
	switch {
	case len(names) == 0:
		return field.ErrorList{
			field.Required(fldPath,
				fmt.Sprintf("write names of policies, or %q for all", wasmadmission.EveryPolicy)),
		}
	case len(names) > maxBreakGlassPolicies:
		return field.ErrorList{field.TooMany(fldPath, len(names), maxBreakGlassPolicies)}
	case slices.Equal(names, []string{wasmadmission.EveryPolicy}):
		return nil
	}
	for i, name := range names {
		errs = append(errs, validateName(name, fldPath.Index(i))...)
	}
	return errs
}
