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
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// maxFailures bounds how long a breaker stays closed. With a larger number it would never open.
const maxFailures = 1_000_000

func validateReload(config *wasmadmission.WasmAdmissionConfiguration,
	fldPath *field.Path) field.ErrorList {
	errs := validateDuration(config.Reload.Interval, time.Second, 24*time.Hour,
		fldPath.Child("interval"))
	errs = append(errs,
		validateDuration(config.Reload.LoadTimeout, time.Second, time.Hour,
			fldPath.Child("loadTimeout"))...)
	if config.Reload.KeepLastGood && config.StateDirectory == "" {
		errs = append(errs, field.Invalid(fldPath.Child("keepLastGood"), true,
			"needs a directory to keep the last good set in: set stateDirectory or remove the field"))
	}
	return errs
}

func validateCompilation(compilation *wasmadmission.Compilation,
	fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	modes := []wasmadmission.CompilationMode{
		wasmadmission.CompilationChildProcesses, wasmadmission.CompilationInProcess,
	}
	if !slices.Contains(modes, compilation.Mode) {
		errs = append(errs, field.NotSupported(fldPath.Child("mode"), compilation.Mode, modes))
	}
	errs = append(errs,
		validateSize(compilation.Memory, 128*mebi, 64*gibi, fldPath.Child("memory"))...)
	errs = append(errs, validateBetween(compilation.Workers, 0, 1024, fldPath.Child("workers"))...)
	return append(errs,
		validateDuration(compilation.Timeout, time.Second, time.Hour, fldPath.Child("timeout"))...)
}

func validateCircuitBreaker(breaker *wasmadmission.CircuitBreaker,
	fldPath *field.Path) field.ErrorList {
	errs := validateBetween(breaker.Failures, 0, maxFailures, fldPath.Child("failures"))
	return append(errs,
		validateDuration(breaker.ProbeInterval, 100*time.Millisecond, time.Hour,
			fldPath.Child("probeInterval"))...)
}
