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

// DefaultUser is the user as which policies read the cluster by default. No role is bound to it. An
// administrator who wants policies to see something binds one.
const DefaultUser = "system:wasm-admission"

func addDefaultingFuncs(scheme *runtime.Scheme) error {
	return RegisterDefaults(scheme)
}

// SetDefaults_Policy sets the fields that a policy leaves out.
func SetDefaults_Policy(policy *Policy) {
	defaultSettings(&policy.Settings)
	defaultTo(&policy.FailurePolicy, admissionregistrationv1.Fail)
	defaultTo(&policy.MatchPolicy, admissionregistrationv1.Equivalent)
	defaultTo(&policy.Mode, ModeProtect)
	defaultTo(&policy.ReinvocationPolicy, admissionregistrationv1.IfNeededReinvocationPolicy)
}

// SetDefaults_PolicyGroup sets the fields that a group and its members leave out.
func SetDefaults_PolicyGroup(group *PolicyGroup) {
	for name, member := range group.Policies {
		defaultSettings(&member.Settings)
		group.Policies[name] = member
	}
	defaultTo(&group.FailurePolicy, admissionregistrationv1.Fail)
	defaultTo(&group.MatchPolicy, admissionregistrationv1.Equivalent)
	defaultTo(&group.Mode, ModeProtect)
}

// defaultSettings sets missing settings to an empty object. Decoding reads null settings as
// missing.
func defaultSettings(settings *runtime.RawExtension) {
	if len(settings.Raw) == 0 && settings.Object == nil {
		settings.Raw = []byte("{}")
	}
}

// SetDefaults_Sources sets how long fetching a module may take.
func SetDefaults_Sources(sources *Sources) {
	defaultPointer(&sources.Timeout, metav1.Duration{Duration: time.Minute})
}

// SetDefaults_Verification demands signatures of all modules: that is what a configuration means
// that only says whose signatures are accepted.
func SetDefaults_Verification(verification *Verification) {
	defaultPointer(&verification.Required, true)
}

// SetDefaults_Reload sets how often the plugin looks for changes, and how long loading one may
// take.
func SetDefaults_Reload(reload *Reload) {
	defaultPointer(&reload.Interval, metav1.Duration{Duration: time.Minute})
	defaultPointer(&reload.LoadTimeout, metav1.Duration{Duration: 2 * time.Minute})
}

// SetDefaults_Compilation sets where modules are compiled, and with which resources.
func SetDefaults_Compilation(compilation *Compilation) {
	defaultTo(&compilation.Mode, CompilationChildProcesses)
	defaultPointer(&compilation.Memory, resource.MustParse("1Gi"))
	defaultPointer(&compilation.Workers, 0)
	defaultPointer(&compilation.Timeout, metav1.Duration{Duration: 2 * time.Minute})
}

// SetDefaults_CircuitBreaker sets when the breaker opens and how it closes. An explicit 0 stays,
// and disables the breaker.
func SetDefaults_CircuitBreaker(breaker *CircuitBreaker) {
	defaultPointer(&breaker.Failures, 10)
	defaultPointer(&breaker.ProbeInterval, metav1.Duration{Duration: 10 * time.Second})
}

// SetDefaults_Mutation sets what happens to unknown fields.
func SetDefaults_Mutation(mutation *Mutation) {
	if mutation.UnknownFields == "" {
		mutation.UnknownFields = UnknownFieldsError
	}
}

// SetDefaults_Limits sets the limits that are left out. An explicit 0 stays, and validation rejects
// it where it has no meaning.
func SetDefaults_Limits(limits *Limits) {
	defaultPointer(&limits.ModuleSize, resource.MustParse("128Mi"))
	defaultPointer(&limits.Memory, resource.MustParse("128Mi"))
	defaultPointer(&limits.RequestSize, resource.MustParse("8Mi"))
	defaultPointer(&limits.ResponseSize, resource.MustParse("8Mi"))
	defaultPointer(&limits.HostCallPayloadSize, resource.MustParse("4Mi"))
	defaultPointer(&limits.LogLineSize, resource.MustParse("4Ki"))
	defaultPointer(&limits.HostCalls, 1000)
	defaultPointer(&limits.GuestLogLinesPerSecond, 100)
	defaultPointer(&limits.EvaluationTimeout, metav1.Duration{Duration: 2 * time.Second})
	defaultPointer(&limits.RequestTimeout, metav1.Duration{Duration: 10 * time.Second})
	defaultPointer(&limits.Fuel, 20_000_000_000)
	defaultPointer(&limits.Stack, resource.MustParse("6Mi"))
	defaultPointer(&limits.TableEntries, 1<<17)
	defaultPointer(&limits.CompilationTime, metav1.Duration{Duration: 5 * time.Minute})
	defaultPointer(&limits.CompilationMemory, resource.MustParse("4Gi"))
	defaultPointer(&limits.TotalMemory, resource.MustParse("2Gi"))
	defaultPointer(&limits.ModuleEvaluations, 0)
	defaultPointer(&limits.ModuleWaiters, 1000)
	defaultPointer(&limits.PolicyEvaluations, 500)
}

// SetDefaults_KubernetesCapability sets the user as which policies read the cluster, and the bounds
// of the cache of the cluster.
func SetDefaults_KubernetesCapability(kubernetes *KubernetesCapability) {
	defaultTo(&kubernetes.User, DefaultUser)
	defaultPointer(&kubernetes.MemorySize, resource.MustParse("256Mi"))
	defaultPointer(&kubernetes.IdleTimeout, metav1.Duration{Duration: 10 * time.Minute})
}

// SetDefaults_AnswerCache sets the bounds of the cache of a host capability's answers.
func SetDefaults_AnswerCache(cache *AnswerCache) {
	defaultPointer(&cache.CacheEntries, 4096)
	defaultPointer(&cache.CacheSize, resource.MustParse("16Mi"))
	defaultPointer(&cache.CacheTTL, metav1.Duration{Duration: 5 * time.Second})
}

// SetDefaults_DNSCapability sets the bounds of the cache of DNS answers.
func SetDefaults_DNSCapability(dns *DNSCapability) {
	defaultPointer(&dns.CacheEntries, 1000)
	defaultPointer(&dns.CacheTTL, metav1.Duration{Duration: 30 * time.Second})
}

// SetDefaults_OCICapability sets the bounds of looks at registries.
func SetDefaults_OCICapability(oci *OCICapability) {
	defaultPointer(&oci.CacheEntries, 4096)
	defaultPointer(&oci.CacheSize, resource.MustParse("16Mi"))
	defaultPointer(&oci.CacheTTL, metav1.Duration{Duration: time.Minute})
	defaultPointer(&oci.FailureTTL,
		metav1.Duration{Duration: min(5*time.Second, oci.CacheTTL.Duration)})
	defaultPointer(&oci.StaleTTL, metav1.Duration{})
	defaultPointer(&oci.LookTimeout, metav1.Duration{Duration: 10 * time.Second})
	defaultPointer(&oci.PolicyLooks, 16)
	defaultPointer(&oci.RegistryLooks, 8)
}

// defaultTo sets an empty field.
func defaultTo[T ~string](field *T, value T) {
	if *field == "" {
		*field = value
	}
}

// defaultPointer sets a field that is left out, and keeps an explicit zero.
func defaultPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
