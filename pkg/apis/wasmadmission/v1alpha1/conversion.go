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

package v1alpha1

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/conversion"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// Convert_v1alpha1_Limits_To_wasmadmission_Limits turns quantities into bytes. It returns an error
// that names every field whose value an int64 cannot hold exactly. Rounding would silently change a
// limit.
func Convert_v1alpha1_Limits_To_wasmadmission_Limits(in *Limits, out *wasmadmission.Limits,
	s conversion.Scope) error {
	err := errors.Join(
		wholeBytes("limits.moduleSize", in.ModuleSize),
		wholeBytes("limits.memory", in.Memory),
		wholeBytes("limits.requestSize", in.RequestSize),
		wholeBytes("limits.responseSize", in.ResponseSize),
		wholeBytes("limits.hostCallPayloadSize", in.HostCallPayloadSize),
		wholeBytes("limits.logLineSize", in.LogLineSize),
		wholeBytes("limits.compilationMemory", in.CompilationMemory),
		wholeBytes("limits.totalMemory", in.TotalMemory),
	)
	if err != nil {
		return err
	}
	return autoConvert_v1alpha1_Limits_To_wasmadmission_Limits(in, out, s)
}

// Convert_v1alpha1_KubernetesCapability_To_wasmadmission_KubernetesCapability turns quantities into
// bytes, like the conversion of limits.
func Convert_v1alpha1_KubernetesCapability_To_wasmadmission_KubernetesCapability(
	in *KubernetesCapability, out *wasmadmission.KubernetesCapability, s conversion.Scope) error {
	err := errors.Join(
		wholeBytes("capabilities.kubernetes.memorySize", in.MemorySize),
		wholeBytes("capabilities.kubernetes.getResource.cacheSize", in.GetResource.CacheSize),
		wholeBytes("capabilities.kubernetes.canI.cacheSize", in.CanI.CacheSize),
	)
	if err != nil {
		return err
	}
	return autoConvert_v1alpha1_KubernetesCapability_To_wasmadmission_KubernetesCapability(in,
		out, s)
}

// Convert_v1alpha1_OCICapability_To_wasmadmission_OCICapability turns quantities into bytes, like
// the conversion of limits.
func Convert_v1alpha1_OCICapability_To_wasmadmission_OCICapability(in *OCICapability,
	out *wasmadmission.OCICapability, s conversion.Scope) error {
	if err := wholeBytes("capabilities.oci.cacheSize", in.CacheSize); err != nil {
		return err
	}
	return autoConvert_v1alpha1_OCICapability_To_wasmadmission_OCICapability(in, out, s)
}

func wholeBytes(name string, size *resource.Quantity) error {
	if size == nil {
		return nil
	}
	// Value rounds and overflows silently. AsDec changes the form of a quantity, so it works on a
	// copy.
	exact := size.DeepCopy()
	if resource.NewQuantity(size.Value(), resource.BinarySI).AsDec().Cmp(exact.AsDec()) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s is not a whole number of bytes below 8Ei: write one, such as 128Mi",
		name, exact.AsDec())
}

// Convert_Pointer_resource_Quantity_To_int64 converts a quantity to bytes. nil becomes 0.
func Convert_Pointer_resource_Quantity_To_int64(in **resource.Quantity, out *int64,
	_ conversion.Scope) error {
	*out = 0
	if *in != nil {
		*out = (*in).Value()
	}
	return nil
}

// Convert_int64_To_Pointer_resource_Quantity converts a number of bytes to a quantity.
func Convert_int64_To_Pointer_resource_Quantity(in *int64, out **resource.Quantity,
	_ conversion.Scope) error {
	*out = resource.NewQuantity(*in, resource.BinarySI)
	return nil
}
