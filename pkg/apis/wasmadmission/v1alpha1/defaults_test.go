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

package v1alpha1_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
)

func TestDefaults(t *testing.T) {
	defaultLimits := v1alpha1.Limits{
		ModuleSize:             new(resource.MustParse("128Mi")),
		Memory:                 new(resource.MustParse("128Mi")),
		RequestSize:            new(resource.MustParse("8Mi")),
		ResponseSize:           new(resource.MustParse("8Mi")),
		HostCallPayloadSize:    new(resource.MustParse("4Mi")),
		LogLineSize:            new(resource.MustParse("4Ki")),
		HostCalls:              new(int32(1000)),
		GuestLogLinesPerSecond: new(int32(100)),
		EvaluationTimeout:      &metav1.Duration{Duration: 2 * time.Second},
		RequestTimeout:         &metav1.Duration{Duration: 10 * time.Second},
		Fuel:                   new(int64(20_000_000_000)),
		Stack:                  new(resource.MustParse("6Mi")),
		TableEntries:           new(int32(131_072)),
		CompilationTime:        &metav1.Duration{Duration: 5 * time.Minute},
		CompilationMemory:      new(resource.MustParse("4Gi")),
		TotalMemory:            new(resource.MustParse("2Gi")),
		ModuleEvaluations:      new(int32(0)),
		ModuleWaiters:          new(int32(1000)),
		PolicyEvaluations:      new(int32(500)),
	}
	zeroLimits := v1alpha1.Limits{
		ModuleSize:             new(resource.MustParse("0")),
		Memory:                 new(resource.MustParse("0")),
		RequestSize:            new(resource.MustParse("0")),
		ResponseSize:           new(resource.MustParse("0")),
		HostCallPayloadSize:    new(resource.MustParse("0")),
		LogLineSize:            new(resource.MustParse("0")),
		HostCalls:              new(int32(0)),
		GuestLogLinesPerSecond: new(int32(0)),
		EvaluationTimeout:      &metav1.Duration{},
		RequestTimeout:         &metav1.Duration{},
		Fuel:                   new(int64(0)),
		Stack:                  new(resource.MustParse("0")),
		TableEntries:           new(int32(0)),
		CompilationTime:        &metav1.Duration{},
		CompilationMemory:      new(resource.MustParse("0")),
		TotalMemory:            new(resource.MustParse("0")),
		ModuleEvaluations:      new(int32(0)),
		ModuleWaiters:          new(int32(0)),
		PolicyEvaluations:      new(int32(0)),
	}
	minute := &metav1.Duration{Duration: time.Minute}
	answers := v1alpha1.AnswerCache{
		CacheEntries: new(int32(4096)), CacheSize: new(resource.MustParse("16Mi")),
		CacheTTL: &metav1.Duration{Duration: 5 * time.Second},
	}
	noAnswers := v1alpha1.AnswerCache{
		CacheEntries: new(int32(0)),
		CacheSize:    new(resource.MustParse("0")),
		CacheTTL:     &metav1.Duration{},
	}
	defaults := v1alpha1.WasmAdmissionConfiguration{
		Sources: v1alpha1.Sources{Timeout: minute},
		Reload: v1alpha1.Reload{
			Interval:    minute,
			LoadTimeout: &metav1.Duration{Duration: 2 * time.Minute},
		},
		Compilation: v1alpha1.Compilation{
			Mode: v1alpha1.CompilationChildProcesses, Memory: new(resource.MustParse("1Gi")),
			Workers: new(int32(0)), Timeout: &metav1.Duration{Duration: 2 * time.Minute},
		},
		CircuitBreaker: v1alpha1.CircuitBreaker{
			Failures: new(int32(10)), ProbeInterval: &metav1.Duration{Duration: 10 * time.Second},
		},
		Mutation: v1alpha1.Mutation{UnknownFields: v1alpha1.UnknownFieldsError},
		Limits:   defaultLimits,
		Capabilities: v1alpha1.Capabilities{
			Kubernetes: v1alpha1.KubernetesCapability{
				User:        "system:wasm-admission",
				MemorySize:  new(resource.MustParse("256Mi")),
				IdleTimeout: &metav1.Duration{Duration: 10 * time.Minute},
				GetResource: answers,
				CanI:        answers,
			},
			DNS: v1alpha1.DNSCapability{
				CacheEntries: new(int32(1000)),
				CacheTTL:     &metav1.Duration{Duration: 30 * time.Second},
			},
			OCI: v1alpha1.OCICapability{
				CacheEntries: new(int32(4096)), CacheSize: new(resource.MustParse("16Mi")),
				CacheTTL: minute, FailureTTL: &metav1.Duration{Duration: 5 * time.Second},
				StaleTTL:    &metav1.Duration{},
				LookTimeout: &metav1.Duration{Duration: 10 * time.Second},
				PolicyLooks: new(int32(16)), RegistryLooks: new(int32(8)),
			},
		},
	}
	// with returns the defaults with a change.
	with :=
		func(change func(*v1alpha1.WasmAdmissionConfiguration)) v1alpha1.WasmAdmissionConfiguration {
			config := *defaults.DeepCopy()
			change(&config)
			return config
		}
	zeros := v1alpha1.WasmAdmissionConfiguration{
		Sources: v1alpha1.Sources{Timeout: &metav1.Duration{}},
		Reload:  v1alpha1.Reload{Interval: &metav1.Duration{}, LoadTimeout: &metav1.Duration{}},
		Compilation: v1alpha1.Compilation{
			Mode: v1alpha1.CompilationInProcess, Memory: new(resource.MustParse("0")),
			Workers: new(int32(0)), Timeout: &metav1.Duration{},
		},
		CircuitBreaker: v1alpha1.CircuitBreaker{
			Failures:      new(int32(0)),
			ProbeInterval: &metav1.Duration{},
		},
		Mutation: v1alpha1.Mutation{UnknownFields: v1alpha1.UnknownFieldsWarn},
		Limits:   zeroLimits,
		Capabilities: v1alpha1.Capabilities{
			Kubernetes: v1alpha1.KubernetesCapability{
				User: "u", MemorySize: new(resource.MustParse("0")),
				IdleTimeout: &metav1.Duration{}, GetResource: noAnswers, CanI: noAnswers,
			},
			DNS: v1alpha1.DNSCapability{CacheEntries: new(int32(0)), CacheTTL: &metav1.Duration{}},
			OCI: v1alpha1.OCICapability{
				CacheEntries: new(int32(0)), CacheSize: new(resource.MustParse("0")),
				CacheTTL: &metav1.Duration{}, FailureTTL: &metav1.Duration{},
				StaleTTL: &metav1.Duration{}, LookTimeout: &metav1.Duration{},
				PolicyLooks: new(int32(0)), RegistryLooks: new(int32(0)),
			},
		},
	}
	everythingSet := v1alpha1.Policy{
		Settings:      runtime.RawExtension{Raw: []byte(`{"a":1}`)},
		FailurePolicy: admissionregistrationv1.Ignore,
		MatchPolicy:   admissionregistrationv1.Exact,
		Mode:          v1alpha1.ModeMonitor,

		ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
	}
	wholeGroup := v1alpha1.PolicyGroup{
		Name: "whole",
		Policies: map[string]v1alpha1.PolicyGroupMember{
			"a": {Settings: everythingSet.Settings},
		},
		FailurePolicy: admissionregistrationv1.Ignore,
		MatchPolicy:   admissionregistrationv1.Exact,
		Mode:          v1alpha1.ModeMonitor,
	}

	tests := map[string]struct {
		in, want v1alpha1.WasmAdmissionConfiguration
	}{
		"empty":               {want: defaults},
		"explicit zeros stay": {in: zeros, want: zeros},
		"one limit": {
			in: v1alpha1.WasmAdmissionConfiguration{
				Limits: v1alpha1.Limits{HostCalls: new(int32(7))},
			},
			want: with(func(config *v1alpha1.WasmAdmissionConfiguration) {
				config.Limits.HostCalls = new(int32(7))
			}),
		},
		"policies": {
			in: v1alpha1.WasmAdmissionConfiguration{
				Policies: []v1alpha1.Policy{{Name: "bare"}, everythingSet},
			},
			want: with(func(config *v1alpha1.WasmAdmissionConfiguration) {
				config.Policies = []v1alpha1.Policy{
					{
						Name:          "bare",
						Settings:      runtime.RawExtension{Raw: []byte(`{}`)},
						FailurePolicy: admissionregistrationv1.Fail,
						MatchPolicy:   admissionregistrationv1.Equivalent,
						Mode:          v1alpha1.ModeProtect,

						ReinvocationPolicy: admissionregistrationv1.IfNeededReinvocationPolicy,
					},
					everythingSet,
				}
			}),
		},
		"groups": {
			in: v1alpha1.WasmAdmissionConfiguration{PolicyGroups: []v1alpha1.PolicyGroup{
				{Name: "bare", Policies: map[string]v1alpha1.PolicyGroupMember{"a": {}, "b": {}}},
				wholeGroup,
			}},
			want: with(func(config *v1alpha1.WasmAdmissionConfiguration) {
				empty := v1alpha1.PolicyGroupMember{
					Settings: runtime.RawExtension{Raw: []byte(`{}`)},
				}
				config.PolicyGroups = []v1alpha1.PolicyGroup{
					{
						Name: "bare",
						Policies: map[string]v1alpha1.PolicyGroupMember{
							"a": empty,
							"b": empty,
						},
						FailurePolicy: admissionregistrationv1.Fail,
						MatchPolicy:   admissionregistrationv1.Equivalent,
						Mode:          v1alpha1.ModeProtect,
					},
					wholeGroup,
				}
			}),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			require.NoError(t, v1alpha1.AddToScheme(scheme))
			config := test.in.DeepCopy()
			scheme.Default(config)
			require.Equal(t, &test.want, config)

			// Applying defaults twice changes nothing.
			scheme.Default(config)
			require.Equal(t, &test.want, config)
		})
	}
}
