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
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WasmAdmissionConfiguration configures the WasmAdmission plugin. It is read once,
// when kube-apiserver starts, from the plugin's entry in the file that
// --admission-control-config-file names.
type WasmAdmissionConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	// policies are the policies to serve, in any order. Default: none, and the
	// plugin then admits everything.
	// +optional
	Policies []Policy `json:"policies,omitempty"`

	// policyDirectory is reserved for a directory of policy manifests. This version
	// does not read one and refuses a value. Default: "".
	// +optional
	PolicyDirectory string `json:"policyDirectory,omitempty"`

	// stateDirectory is the absolute, clean path of a directory below which the
	// plugin keeps compiled code, so that the next start need not compile again.
	// Default: "", compiled code is kept in memory only.
	// +optional
	StateDirectory string `json:"stateDirectory,omitempty"`

	// limits bound what policies may use. Default: every limit at its own default.
	// +optional
	Limits Limits `json:"limits,omitzero"`

	// exemptions name requests that no policy sees. Default: none.
	// +optional
	Exemptions Exemptions `json:"exemptions,omitzero"`
}

// Policy is one module with its settings and the requests that it is asked about.
// Apart from name and digest, its fields are those of the spec of a Kubewarden
// ClusterAdmissionPolicy (policies.kubewarden.io/v1), so that a spec can be pasted.
type Policy struct {
	// name identifies the policy in messages, metrics and audit annotations: a DNS
	// subdomain of at most 253 characters, unique in the file. Required.
	Name string `json:"name"`

	// module says where the wasm module is: file:// followed by the absolute, clean
	// path of a file, such as file:///etc/kubernetes/wasm-admission/policy.wasm. The
	// path stands for itself: it is not percent-encoded and holds none of '%', '?'
	// and '#'. No other scheme is supported in this version. At most 4096 bytes.
	// Required.
	Module string `json:"module"`

	// digest is the SHA-256 of the module file: "sha256:" and 64 lower-case
	// hexadecimal digits. Default: "", the module is not compared with a digest.
	// +optional
	Digest string `json:"digest,omitempty"`

	// settings are handed to the policy as they stand: any JSON object in which no
	// field occurs twice. Default: {}; null means the same.
	// +optional
	Settings runtime.RawExtension `json:"settings,omitzero"`

	// rules say which requests the policy is asked about: one that at least one rule
	// matches. They follow the same constraints as those of a
	// ValidatingWebhookConfiguration. Default: the rules in the module's own
	// metadata. An empty list is refused.
	// +optional
	Rules []admissionregistrationv1.RuleWithOperations `json:"rules,omitempty"`

	// failurePolicy says what happens to a request when the policy gives no usable
	// answer, because it fails or exceeds a limit: Fail rejects it, Ignore admits
	// it. Default: Fail.
	// +optional
	FailurePolicy admissionregistrationv1.FailurePolicyType `json:"failurePolicy,omitempty"`

	// matchPolicy says whether rules match a request that comes by another group or
	// version of the same resource: Equivalent or Exact. Default: Equivalent.
	// +optional
	MatchPolicy admissionregistrationv1.MatchPolicyType `json:"matchPolicy,omitempty"`

	// namespaceSelector restricts the policy to requests for objects in namespaces
	// with matching labels, and for matching namespaces themselves; other
	// cluster-scoped objects are never left out by it. Default: every namespace.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// objectSelector restricts the policy to requests in which the object or the old
	// object has matching labels. Default: every object.
	// +optional
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`

	// matchConditions are CEL expressions, all of which have to be true for the
	// policy to be asked. They see object, oldObject, request and authorizer, as
	// those of a webhook do. At most 64, each with a unique qualified name.
	// Default: none.
	// +optional
	MatchConditions []admissionregistrationv1.MatchCondition `json:"matchConditions,omitempty"`

	// timeoutEvalSeconds is the wall-clock time that one evaluation of this policy
	// may take, in seconds, from 1 to 30. Default: limits.evaluationTimeout.
	// +optional
	TimeoutEvalSeconds *int32 `json:"timeoutEvalSeconds,omitempty"`

	// message replaces the policy's own message when it rejects a request. At most
	// 1024 bytes. Default: "", the policy's own message.
	// +optional
	Message string `json:"message,omitempty"`

	// mode is protect, to act on what the policy answers, or monitor, to record it
	// only. This version refuses monitor. Default: protect.
	// +optional
	Mode PolicyMode `json:"mode,omitempty"`

	// mutating lets the policy change objects. This version refuses true.
	// Default: false.
	// +optional
	Mutating bool `json:"mutating,omitempty"`

	// contextAwareResources are the kinds of which the policy may read objects in
	// the cluster. This version refuses every entry. Default: none.
	// +optional
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`

	// hostCapabilities are the host capabilities that the policy may call: "*" for
	// all, a prefix such as "oci/*" or "oci/v1/*", or one path such as
	// "kubernetes/get_resource". No pattern may occur twice. Default: none; every
	// call but tracing is denied then. Refused in this version, which has no capability
	// to grant.
	// +optional
	HostCapabilities []string `json:"hostCapabilities,omitempty"`

	// policyServer has no effect in process: there is no policy server. A warning is
	// given when it is set.
	// +optional
	PolicyServer *string `json:"policyServer,omitempty"`

	// sideEffects has no effect in process: dry-run requests are evaluated like any
	// other. None, NoneOnDryRun, Some or Unknown. A warning is given when it is set.
	// +optional
	SideEffects *admissionregistrationv1.SideEffectClass `json:"sideEffects,omitempty"`

	// timeoutSeconds has no effect in process: there is no webhook call whose timeout
	// it could be; timeoutEvalSeconds bounds the evaluation. From 1 to 30. A warning
	// is given when it is set.
	// +optional
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// backgroundAudit has no effect in process: objects that exist already are not
	// scanned. A warning is given when it is set.
	// +optional
	BackgroundAudit *bool `json:"backgroundAudit,omitempty"`

	// allowInsideAdmissionControllerNamespace has no effect in process: there is no
	// controller whose namespace would be left out. A warning is given when it is set.
	// +optional
	AllowInsideAdmissionControllerNamespace *bool `json:"allowInsideAdmissionControllerNamespace,omitempty"`
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
	// apiVersion is the group and version, such as apps/v1, or the version alone for
	// the core group. Required.
	APIVersion string `json:"apiVersion"`
	// kind is the kind in that version, such as Deployment. Required.
	Kind string `json:"kind"`
}

// Limits bound what policies may use. Sizes are quantities of whole bytes, such as
// 128Mi. A value that is left out takes its default; zero is refused.
type Limits struct {
	// moduleSize is the largest module file that is read, from 1 to 1Gi.
	// Default: 128Mi.
	// +optional
	ModuleSize *resource.Quantity `json:"moduleSize,omitempty"`

	// memory is the linear memory that one instance of a module may have, from 64Ki
	// to 4Gi, a multiple of 64Ki (the page of WebAssembly). Default: 128Mi.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`

	// requestSize is the largest evaluation request, in JSON and with the settings,
	// that is handed to a policy, from 1 to 64Mi. Default: 8Mi.
	// +optional
	RequestSize *resource.Quantity `json:"requestSize,omitempty"`

	// responseSize is the largest answer that is taken from a policy, from 1 to 64Mi.
	// Default: 8Mi.
	// +optional
	ResponseSize *resource.Quantity `json:"responseSize,omitempty"`

	// hostCallPayloadSize is the largest payload of one host call, in either
	// direction, from 1 to 64Mi. Default: 4Mi.
	// +optional
	HostCallPayloadSize *resource.Quantity `json:"hostCallPayloadSize,omitempty"`

	// logLineSize is the length at which one line that a policy logs is cut, from 1
	// to 64Ki. Default: 4Ki.
	// +optional
	LogLineSize *resource.Quantity `json:"logLineSize,omitempty"`

	// hostCalls is the number of host calls that one evaluation may make, from 1 to
	// 100000. Default: 1000.
	// +optional
	HostCalls *int32 `json:"hostCalls,omitempty"`

	// guestLogLinesPerSecond is the number of lines that one policy may log in a
	// second, from 1 to 10000; further lines are dropped. Default: 100.
	// +optional
	GuestLogLinesPerSecond *int32 `json:"guestLogLinesPerSecond,omitempty"`

	// evaluationTimeout is the wall-clock time that one evaluation of one policy may
	// take, from 1ms to 30s, unless the policy sets timeoutEvalSeconds. Default: 2s.
	// +optional
	EvaluationTimeout *metav1.Duration `json:"evaluationTimeout,omitempty"`
}

// Exemptions name requests that no policy sees. One match suffices.
type Exemptions struct {
	// usernames are the names of users whose requests are exempt, compared exactly.
	// No entry may be empty or occur twice. Default: none.
	// +optional
	Usernames []string `json:"usernames,omitempty"`

	// groups are the groups whose members' requests are exempt, compared exactly. No
	// entry may be empty or occur twice. Default: none.
	// +optional
	Groups []string `json:"groups,omitempty"`

	// namespaces are the namespaces in which requests are exempt. Each is a DNS
	// label of at most 63 characters; none may occur twice. Default: none.
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`
}
