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

// Package fuzzer fills the configuration types with random values that survive a round
// trip through every version.
package fuzzer

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeserializer "k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/randfill"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// Funcs returns the fuzzer functions of the group, in the form of fuzzer.FuzzerFuncs of
// k8s.io/apimachinery/pkg/api/apitesting/fuzzer. Values are random and need not be valid, but no
// field is empty that defaulting would fill in.
func Funcs(_ runtimeserializer.CodecFactory) []any {
	return []any{
		func(policy *wasmadmission.Policy, c randfill.Continue) {
			c.FillNoCustom(policy)
			policy.FailurePolicy = oneOf(c, admissionregistrationv1.Fail,
				admissionregistrationv1.Ignore)
			policy.MatchPolicy = oneOf(c, admissionregistrationv1.Equivalent,
				admissionregistrationv1.Exact)
			policy.Mode = oneOf(c, wasmadmission.ModeProtect, wasmadmission.ModeMonitor)
			policy.ReinvocationPolicy = oneOf(c, admissionregistrationv1.IfNeededReinvocationPolicy,
				admissionregistrationv1.NeverReinvocationPolicy)
			// No version has this field.
			policy.Namespace = ""
		},
		func(group *wasmadmission.PolicyGroup, c randfill.Continue) {
			c.FillNoCustom(group)
			group.FailurePolicy = oneOf(c, admissionregistrationv1.Fail,
				admissionregistrationv1.Ignore)
			group.MatchPolicy = oneOf(c, admissionregistrationv1.Equivalent,
				admissionregistrationv1.Exact)
			group.Mode = oneOf(c, wasmadmission.ModeProtect, wasmadmission.ModeMonitor)
			group.Namespace = ""
			// Members are sorted by name, and names are unique.
			for i := range group.Policies {
				group.Policies[i].Name = fmt.Sprintf("member%03d", i)
			}
		},
		func(mutation *wasmadmission.Mutation, c randfill.Continue) {
			mutation.UnknownFields = oneOf(c, wasmadmission.UnknownFieldsError,
				wasmadmission.UnknownFieldsWarn)
		},
		func(limits *wasmadmission.Limits, c randfill.Continue) {
			c.FillNoCustom(limits)
			// Quantities cannot hold every negative number exactly.
			limits.ModuleSize = c.Int63()
			limits.Memory = c.Int63()
			limits.RequestSize = c.Int63()
			limits.ResponseSize = c.Int63()
			limits.HostCallPayloadSize = c.Int63()
			limits.LogLineSize = c.Int63()
			limits.Stack = c.Int63()
			limits.CompilationMemory = c.Int63()
			limits.TotalMemory = c.Int63()
		},
		func(compilation *wasmadmission.Compilation, c randfill.Continue) {
			c.FillNoCustom(compilation)
			compilation.Mode = oneOf(c, wasmadmission.CompilationChildProcesses,
				wasmadmission.CompilationInProcess)
			compilation.Memory = c.Int63()
		},
		func(kubernetes *wasmadmission.KubernetesCapability, c randfill.Continue) {
			c.FillNoCustom(kubernetes)
			kubernetes.User = oneOf(c, "a", "b")
			kubernetes.MemorySize = c.Int63()
			kubernetes.GetResource.CacheSize = c.Int63()
			kubernetes.CanI.CacheSize = c.Int63()
		},
		func(oci *wasmadmission.OCICapability, c randfill.Continue) {
			c.FillNoCustom(oci)
			oci.CacheSize = c.Int63()
		},
		// The encoder keeps compact JSON unchanged.
		func(settings *runtime.RawExtension, c randfill.Continue) {
			settings.Raw = fmt.Appendf(nil, `{"flag":%t,"list":[%d],"text":"%x"}`, c.Bool(),
				c.Int63(), c.String(0))
		},
	}
}

func oneOf[T any](c randfill.Continue, choices ...T) T {
	return choices[c.Intn(len(choices))]
}
