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
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
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

	minEvaluationTimeout = time.Millisecond
	// maxEvaluationTimeout is the longest that the apiserver waits for a webhook.
	maxEvaluationTimeout = 30 * time.Second
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
	} {
		if size.value < size.min || size.value > size.max {
			errs = append(errs, field.Invalid(fldPath.Child(size.name), size.value,
				fmt.Sprintf("must be between %s and %s, in bytes", quantity(size.min), quantity(size.max))))
		}
	}
	if limits.Memory >= wasmPage && limits.Memory <= 4*gibi && limits.Memory%wasmPage != 0 {
		errs = append(errs, field.Invalid(fldPath.Child("memory"), limits.Memory,
			fmt.Sprintf("must be a multiple of 64Ki, the page of WebAssembly: write %d or %d",
				limits.Memory/wasmPage*wasmPage, (limits.Memory/wasmPage+1)*wasmPage)))
	}
	errs = append(errs, validateCount(limits.HostCalls, 100_000, fldPath.Child("hostCalls"))...)
	errs = append(errs, validateCount(limits.GuestLogLinesPerSecond, 10_000, fldPath.Child("guestLogLinesPerSecond"))...)

	timeout := limits.EvaluationTimeout.Duration
	if timeout < minEvaluationTimeout || timeout > maxEvaluationTimeout {
		errs = append(errs, field.Invalid(fldPath.Child("evaluationTimeout"), timeout.String(),
			fmt.Sprintf("must be between %s and %s", minEvaluationTimeout, maxEvaluationTimeout)))
	}
	return errs
}

func validateCount(count, most int32, fldPath *field.Path) field.ErrorList {
	if count >= 1 && count <= most {
		return nil
	}
	return field.ErrorList{field.Invalid(fldPath, count, fmt.Sprintf("must be between 1 and %d", most))}
}

func quantity(bytes int64) string {
	return resource.NewQuantity(bytes, resource.BinarySI).String()
}
