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

package wasmadmission

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WasmAdmissionConfiguration is the configuration of the WasmAdmission plugin with
// all defaults applied. Which values are allowed is stated in v1alpha1 and checked
// by package validation.
type WasmAdmissionConfiguration struct {
	metav1.TypeMeta

	// Policies are the policies to serve, in any order, with unique names.
	Policies []Policy
	// PolicyDirectory is reserved; validation refuses a value in this version.
	PolicyDirectory string
	// StateDirectory is the absolute, clean path below which compiled code is kept;
	// "" means in memory only.
	StateDirectory string
	// Limits bound what policies may use.
	Limits Limits
	// Exemptions name requests that no policy sees.
	Exemptions Exemptions
}

// Policy is one module with its settings and the requests that it is asked about.
// Its fields follow the spec of a Kubewarden ClusterAdmissionPolicy
// (policies.kubewarden.io/v1), plus Name and Digest.
type Policy struct {
	// Name identifies the policy: a DNS subdomain, unique in the configuration.
	Name string
	// Module is the URI of the wasm module: file:// and an absolute, clean path that
	// is not percent-encoded.
	Module string
	// Digest is "sha256:" and 64 lower-case hexadecimal digits; "" means that the
	// module is not compared with a digest.
	Digest string
	// Settings are handed to the policy as they stand. Raw is a JSON object and, after
	// defaulting, never empty; Object is not used.
	Settings runtime.RawExtension
	// Rules say which requests the policy is asked about. When there are none they
	// come from the module's metadata.
	Rules []admissionregistrationv1.RuleWithOperations
	// FailurePolicy says what happens to a request when the policy gives no usable
	// answer: Fail (the default) rejects it, Ignore admits it.
	FailurePolicy admissionregistrationv1.FailurePolicyType
	// MatchPolicy says whether rules match a request that comes by another group or
	// version of the same resource: Equivalent (the default) or Exact.
	MatchPolicy admissionregistrationv1.MatchPolicyType
	// NamespaceSelector restricts the policy to namespaces with matching labels; nil
	// means every namespace.
	NamespaceSelector *metav1.LabelSelector
	// ObjectSelector restricts the policy to objects with matching labels; nil means
	// every object.
	ObjectSelector *metav1.LabelSelector
	// MatchConditions are CEL expressions, all of which have to be true for the policy
	// to be asked.
	MatchConditions []admissionregistrationv1.MatchCondition
	// TimeoutEvalSeconds is the wall-clock time of one evaluation in seconds; nil
	// means Limits.EvaluationTimeout.
	TimeoutEvalSeconds *int32
	// Message replaces the policy's own message when it rejects a request; "" keeps it.
	Message string
	// Mode says what is done with an answer. Validation refuses ModeMonitor in this
	// version.
	Mode PolicyMode
	// Mutating lets the policy change objects. Validation refuses true in this version.
	Mutating bool
	// ContextAwareResources are the kinds of which the policy may read objects.
	// Validation refuses every entry in this version.
	ContextAwareResources []ContextAwareResource
	// HostCapabilities are patterns of the host capabilities that the policy may call,
	// in the syntax of package capabilities; none denies every call but tracing.
	// Validation refuses every entry in this version.
	HostCapabilities []string

	// PolicyServer is accepted and has no effect in process.
	PolicyServer *string
	// SideEffects is accepted and has no effect in process.
	SideEffects *admissionregistrationv1.SideEffectClass
	// TimeoutSeconds is accepted and has no effect in process.
	TimeoutSeconds *int32
	// BackgroundAudit is accepted and has no effect in process.
	BackgroundAudit *bool
	// AllowInsideAdmissionControllerNamespace is accepted and has no effect in process.
	AllowInsideAdmissionControllerNamespace *bool
}

// PolicyMode says what is done with a policy's answer.
type PolicyMode string

const (
	// ModeProtect acts on what the policy answers.
	ModeProtect PolicyMode = "protect"
	// ModeMonitor records what the policy answers and admits the request.
	ModeMonitor PolicyMode = "monitor"
)

// ContextAwareResource is a kind of which a policy may read objects.
type ContextAwareResource struct {
	// APIVersion is the group and version, such as apps/v1.
	APIVersion string
	// Kind is the kind in that version, such as Deployment.
	Kind string
}

// Limits bound what policies may use. Sizes are in bytes.
type Limits struct {
	// ModuleSize is the largest module file that is read. Default: 128 MiB.
	ModuleSize int64
	// Memory is the linear memory that one instance may have, a multiple of the 64 KiB
	// page. Default: 128 MiB.
	Memory int64
	// RequestSize is the largest request that is handed to a policy. Default: 8 MiB.
	RequestSize int64
	// ResponseSize is the largest answer that is taken from a policy. Default: 8 MiB.
	ResponseSize int64
	// HostCallPayloadSize is the largest payload of one host call, in either direction.
	// Default: 4 MiB.
	HostCallPayloadSize int64
	// LogLineSize is the length at which one line that a policy logs is cut.
	// Default: 4 KiB.
	LogLineSize int64
	// HostCalls is the number of host calls that one evaluation may make. Default: 1000.
	HostCalls int32
	// GuestLogLinesPerSecond is the number of lines that one policy may log in a second.
	// Default: 100.
	GuestLogLinesPerSecond int32
	// EvaluationTimeout is the wall-clock time that one evaluation of one policy may
	// take. Default: 2s.
	EvaluationTimeout metav1.Duration
}

// Exemptions name requests that no policy sees. One match suffices.
type Exemptions struct {
	// Usernames are the names of users whose requests are exempt.
	Usernames []string
	// Groups are the groups whose members' requests are exempt.
	Groups []string
	// Namespaces are the namespaces in which requests are exempt.
	Namespaces []string
}
