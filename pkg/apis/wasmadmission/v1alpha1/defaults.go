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
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func addDefaultingFuncs(scheme *runtime.Scheme) error {
	return RegisterDefaults(scheme)
}

// SetDefaults_Policy fills in what a policy leaves out. Null settings have already
// been read as absent.
func SetDefaults_Policy(policy *Policy) {
	if len(policy.Settings.Raw) == 0 && policy.Settings.Object == nil {
		policy.Settings.Raw = []byte("{}")
	}
	if policy.FailurePolicy == "" {
		policy.FailurePolicy = admissionregistrationv1.Fail
	}
	if policy.MatchPolicy == "" {
		policy.MatchPolicy = admissionregistrationv1.Equivalent
	}
	if policy.Mode == "" {
		policy.Mode = ModeProtect
	}
}

// SetDefaults_Limits fills in the limits that are left out. An explicit zero stays
// and is refused by validation.
func SetDefaults_Limits(limits *Limits) {
	defaultSize(&limits.ModuleSize, "128Mi")
	defaultSize(&limits.Memory, "128Mi")
	defaultSize(&limits.RequestSize, "8Mi")
	defaultSize(&limits.ResponseSize, "8Mi")
	defaultSize(&limits.HostCallPayloadSize, "4Mi")
	defaultSize(&limits.LogLineSize, "4Ki")
	if limits.HostCalls == nil {
		limits.HostCalls = new(int32(1000))
	}
	if limits.GuestLogLinesPerSecond == nil {
		limits.GuestLogLinesPerSecond = new(int32(100))
	}
	if limits.EvaluationTimeout == nil {
		limits.EvaluationTimeout = &metav1.Duration{Duration: 2 * time.Second}
	}
}

func defaultSize(size **resource.Quantity, value string) {
	if *size == nil {
		*size = new(resource.MustParse(value))
	}
}
