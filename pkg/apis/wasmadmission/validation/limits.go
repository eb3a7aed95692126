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
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

const (
	kibi = int64(1) << 10
	mebi = int64(1) << 20
	gibi = int64(1) << 30

	// wasmPage is the unit in which linear memory grows (WebAssembly core
	// specification, memory instances).
	wasmPage = 64 * kibi

	minTimeout = time.Millisecond
	// maxTimeout is the longest that the apiserver waits for a webhook.
	maxTimeout = 30 * time.Second
)

func validateLimits(limits *wasmadmission.Limits, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, size := range []struct {
		name     string
		value    int64
		min, max int64
	}{
		{"moduleSize", limits.ModuleSize, 1, gibi},
		// 4Gi is all that a 32-bit linear memory can have.
		{"memory", limits.Memory, wasmPage, 4 * gibi},
		{"requestSize", limits.RequestSize, 1, 64 * mebi},
		{"responseSize", limits.ResponseSize, 1, 64 * mebi},
		{"hostCallPayloadSize", limits.HostCallPayloadSize, 1, 64 * mebi},
		{"logLineSize", limits.LogLineSize, 1, 64 * kibi},
		{"stack", limits.Stack, 64 * kibi, 512 * mebi},
		// Package weight allows any module that much.
		{"compilationMemory", limits.CompilationMemory, 64 * mebi, 64 * gibi},
	} {
		errs = append(errs,
			validateSize(size.value, size.min, size.max, fldPath.Child(size.name))...)
	}
	if limits.Memory >= wasmPage && limits.Memory <= 4*gibi && limits.Memory%wasmPage != 0 {
		errs = append(errs, field.Invalid(fldPath.Child("memory"), limits.Memory,
			fmt.Sprintf("must be a multiple of 64Ki, the page of WebAssembly: write %d or %d",
				limits.Memory/wasmPage*wasmPage, (limits.Memory/wasmPage+1)*wasmPage)))
	}
	errs = append(errs, validateTotalMemory(limits, fldPath.Child("totalMemory"))...)
	errs = append(errs,
		validateBetween(limits.HostCalls, 1, 100_000, fldPath.Child("hostCalls"))...)
	errs = append(errs,
		validateBetween(limits.GuestLogLinesPerSecond, 1, 10_000,
			fldPath.Child("guestLogLinesPerSecond"))...)
	errs = append(errs,
		validateBetween(limits.Fuel, 1_000_000, 1_000_000_000_000, fldPath.Child("fuel"))...)
	errs = append(errs,
		validateBetween(limits.TableEntries, 1, 16<<20, fldPath.Child("tableEntries"))...)
	errs = append(errs,
		validateBetween(limits.ModuleEvaluations, 0, 10_000, fldPath.Child("moduleEvaluations"))...)
	errs = append(errs,
		validateBetween(limits.ModuleWaiters, 1, 100_000, fldPath.Child("moduleWaiters"))...)
	errs = append(errs,
		validateBetween(limits.PolicyEvaluations, 1, 100_000,
			fldPath.Child("policyEvaluations"))...)
	errs = append(errs,
		validateDuration(limits.CompilationTime, time.Second, time.Hour,
			fldPath.Child("compilationTime"))...)
	errs = append(errs,
		validateDuration(limits.EvaluationTimeout, minTimeout, maxTimeout,
			fldPath.Child("evaluationTimeout"))...)
	return append(errs,
		validateDuration(limits.RequestTimeout, minTimeout, maxTimeout,
			fldPath.Child("requestTimeout"))...)
}

// validateTotalMemory requires room for at least one instance. With less, no policy could use the
// memory that limits.memory grants it.
func validateTotalMemory(limits *wasmadmission.Limits, fldPath *field.Path) field.ErrorList {
	least, most := wasmPage, 1024*gibi
	if limits.Memory <= 4*gibi {
		least = max(least, limits.Memory)
	}
	if limits.TotalMemory >= least && limits.TotalMemory <= most {
		return nil
	}
	return field.ErrorList{field.Invalid(fldPath, limits.TotalMemory,
		fmt.Sprintf("must be between limits.memory (%s) and %s, in bytes", quantity(least),
			quantity(most)))}
}

func validateBetween[T int32 | int64](value, least, most T, fldPath *field.Path) field.ErrorList {
	if value >= least && value <= most {
		return nil
	}
	return field.ErrorList{
		field.Invalid(fldPath, value, fmt.Sprintf("must be between %d and %d", least, most)),
	}
}

func validateSize(bytes, least, most int64, fldPath *field.Path) field.ErrorList {
	if bytes >= least && bytes <= most {
		return nil
	}
	return field.ErrorList{
		field.Invalid(fldPath, bytes,
			fmt.Sprintf("must be between %s and %s, in bytes", quantity(least), quantity(most))),
	}
}

func validateDuration(value metav1.Duration, least, most time.Duration,
	fldPath *field.Path) field.ErrorList {
	if value.Duration >= least && value.Duration <= most {
		return nil
	}
	return field.ErrorList{field.Invalid(fldPath, value.Duration.String(),
		fmt.Sprintf("must be between %s and %s", short(least), short(most)))}
}

// short formats a duration without zero units at its end.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-len("0s")]
		}
	}
	return text
}

func quantity(bytes int64) string {
	return resource.NewQuantity(bytes, resource.BinarySI).String()
}
