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

	// policies are the policies to serve, in any order. Default: none; a plugin that
	// has no policies at all admits everything.
	// +optional
	Policies []Policy `json:"policies,omitempty"`

	// policyGroups are groups of policies that decide together, in any order.
	// Default: none.
	// +optional
	PolicyGroups []PolicyGroup `json:"policyGroups,omitempty"`

	// policyDirectory is the absolute, clean path of a directory of Kubewarden's policy
	// manifests: *.yaml, *.yml and *.json files with objects of
	// policies.kubewarden.io. Changes in it are taken over while the server runs.
	// Default: "", none.
	// +optional
	PolicyDirectory string `json:"policyDirectory,omitempty"`

	// minimumPolicies is how many policies and groups, of the file and of the policy
	// directory together, there have to be: with fewer the server does not start, and a
	// change that leaves fewer is bad. It tells a directory that is not mounted or was
	// emptied by mistake from one that is meant to be empty. 0 to 10000. Default: 0.
	// +optional
	MinimumPolicies int32 `json:"minimumPolicies,omitempty"`

	// stateDirectory is the absolute, clean path of a directory below which the
	// plugin keeps modules from registries and compiled code, so that the next start
	// need not fetch and compile again. Modules from registries need one. With
	// compilation.mode ChildProcesses, one that cannot be used ends the start. Default: "",
	// compiled code is not kept.
	// +optional
	StateDirectory string `json:"stateDirectory,omitempty"`

	// breakGlassFile is the absolute, clean path of a file that puts policies into
	// monitor mode until a time that it states. It is watched, and need not exist.
	// Default: "", none.
	// +optional
	BreakGlassFile string `json:"breakGlassFile,omitempty"`

	// requireCompiler refuses a start where modules could only be interpreted, because
	// the system has no compiler for it or lets nobody run code that was made at run
	// time. Interpreted code is many times slower. Default: false, it is interpreted and
	// a warning is logged.
	// +optional
	RequireCompiler bool `json:"requireCompiler,omitempty"`

	// compilation says where modules are compiled, and with what. Default: in child
	// processes, and every other field at its own default.
	// +optional
	Compilation Compilation `json:"compilation,omitzero"`

	// sources say how modules are fetched from registries and servers. Default: with
	// TLS, anonymously and from where their URIs say.
	// +optional
	Sources Sources `json:"sources,omitzero"`

	// verification says whose signatures modules must have. A policy can only add to it.
	// Default: none, modules need no signature.
	// +optional
	Verification *Verification `json:"verification,omitempty"`

	// reload says how changes of the policy directory, of modules and of credentials
	// are taken over. Default: every field at its own default.
	// +optional
	Reload Reload `json:"reload,omitzero"`

	// circuitBreaker says what is done with a policy that keeps failing. Default:
	// every field at its own default.
	// +optional
	CircuitBreaker CircuitBreaker `json:"circuitBreaker,omitzero"`

	// mutation says what is done with what policies make of objects. Default: every
	// field at its own default.
	// +optional
	Mutation Mutation `json:"mutation,omitzero"`

	// review says what all policies are given of a request. Default: every field at its
	// own default.
	// +optional
	Review Review `json:"review,omitzero"`

	// limits bound what policies may use. Default: every limit at its own default.
	// +optional
	Limits Limits `json:"limits,omitzero"`

	// exemptions name requests that no policy sees. Default: none.
	// +optional
	Exemptions Exemptions `json:"exemptions,omitzero"`

	// capabilities say how host capabilities answer policies that were granted them.
	// Default: every field at its own default.
	// +optional
	Capabilities Capabilities `json:"capabilities,omitzero"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// BreakGlass puts policies into monitor mode for a while. It is the content of the file that
// breakGlassFile names, at most 64 KiB, and is read whenever that changes.
type BreakGlass struct {
	metav1.TypeMeta `json:",inline"`

	// until is when policies are enforced again, a day ahead at most. Required.
	Until metav1.Time `json:"until"`

	// policies are the names of policies and groups, 1 to 1000 of them, or "*" alone, which
	// stands for all. Required.
	Policies []string `json:"policies"`

	// reason says why, in 1 to 1024 bytes, for those who read the log. Required.
	Reason string `json:"reason"`
}

// Policy is one module with its settings and the requests that it is asked about.
// Apart from name and digest, its fields are those of the spec of a Kubewarden
// ClusterAdmissionPolicy (policies.kubewarden.io/v1), so that a spec can be pasted.
type Policy struct {
	// name identifies the policy in messages, metrics and audit annotations: a DNS
	// subdomain of at most 253 characters, unique in the file. Required.
	Name string `json:"name"`

	// module says where the wasm module is. file:// is followed by the absolute, clean
	// path of a file, such as file:///etc/kubernetes/wasm-admission/policy.wasm. The
	// path stands for itself: it is not percent-encoded and holds none of '%', '?'
	// and '#'. registry:// is followed by a reference to an OCI artifact, such as
	// registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3; without a tag or
	// digest it means the tag latest. https:// is followed by host and path; http://
	// is for the hosts in sources.insecure. At most 4096 bytes after the scheme.
	// Required.
	Module string `json:"module"`

	// digest is the SHA-256 of the module itself, wherever it comes from: "sha256:" and
	// 64 lower-case hexadecimal digits. Default: "", the module is not compared with a digest.
	// +optional
	Digest string `json:"digest,omitempty"`

	// verification says what is demanded of the module's signatures beside what is of all.
	// Default: nothing.
	// +optional
	Verification *PolicyVerification `json:"verification,omitempty"`

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
	// only. Default: protect.
	// +optional
	Mode PolicyMode `json:"mode,omitempty"`

	// mutating lets the policy change objects: it is then evaluated in the mutating
	// phase of admission, and not again in the validating one. Default: false.
	// +optional
	Mutating bool `json:"mutating,omitempty"`

	// reinvocationPolicy says whether a mutating policy is evaluated again after others
	// changed the object: IfNeeded or Never. Default: IfNeeded.
	// +optional
	ReinvocationPolicy admissionregistrationv1.ReinvocationPolicyType `json:"reinvocationPolicy,omitempty"`

	// review says what the policy is given of a request, beside what is said for all.
	// Default: every field at its own default.
	// +optional
	Review Review `json:"review,omitzero"`

	// contextAwareResources are the kinds of which the policy may read objects in
	// the cluster, through the host capabilities below kubernetes or as data of a policy in
	// Rego. Default: none.
	// +optional
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`

	// hostCapabilities are the host capabilities that the policy may call: "*" for
	// all, a prefix such as "oci/*" or "oci/v1/*", or one path such as
	// "kubernetes/get_resource". No pattern may occur twice. Default: none; every
	// call but tracing is denied then.
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

// PolicyGroup is several policies whose verdicts are combined by an expression. Apart
// from name, its fields are those of the spec of a Kubewarden
// ClusterAdmissionPolicyGroup (policies.kubewarden.io/v1). A group never mutates.
type PolicyGroup struct {
	// name identifies the group in messages, metrics and audit annotations: a DNS
	// subdomain of at most 253 characters, unique among policies and groups. Required.
	Name string `json:"name"`

	// expression is a CEL expression over the members, each a function without
	// parameters that says whether the member accepts the request, such as
	// "signed() || (trusted() && scanned())". Operators are ==, !=, ||, && and !. The
	// request is admitted if it is true. Members that it need not ask are not
	// evaluated. At most 8192 bytes. Required.
	Expression string `json:"expression"`

	// message is what a rejection says. At most 1024 bytes. Required.
	Message string `json:"message"`

	// policies are the members, by the names that the expression calls them: letters,
	// digits and '_', no digit first, and no reserved word of CEL. At least one.
	// Required.
	Policies map[string]PolicyGroupMember `json:"policies"`

	// rules say which requests the group is asked about, as those of a policy do. They
	// cannot be left to the modules, of which there may be several. At least one.
	// Required.
	Rules []admissionregistrationv1.RuleWithOperations `json:"rules"`

	// failurePolicy says what happens to a request when a member gives no usable
	// answer: Fail rejects it, Ignore admits it. Default: Fail.
	// +optional
	FailurePolicy admissionregistrationv1.FailurePolicyType `json:"failurePolicy,omitempty"`

	// matchPolicy says whether rules match a request that comes by another group or
	// version of the same resource: Equivalent or Exact. Default: Equivalent.
	// +optional
	MatchPolicy admissionregistrationv1.MatchPolicyType `json:"matchPolicy,omitempty"`

	// namespaceSelector restricts the group as it restricts a policy. Default: every
	// namespace.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// objectSelector restricts the group as it restricts a policy. Default: every
	// object.
	// +optional
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`

	// matchConditions are CEL expressions, all of which have to be true for the group
	// to be asked, as for a policy. At most 64, each with a unique qualified name.
	// Default: none.
	// +optional
	MatchConditions []admissionregistrationv1.MatchCondition `json:"matchConditions,omitempty"`

	// mode is protect, to act on the verdict, or monitor, to record it only.
	// Default: protect.
	// +optional
	Mode PolicyMode `json:"mode,omitempty"`

	// review says what the members are given of a request, beside what is said for all.
	// Default: every field at its own default.
	// +optional
	Review Review `json:"review,omitzero"`

	// policyServer has no effect in process: there is no policy server. A warning is
	// given when it is set.
	// +optional
	PolicyServer *string `json:"policyServer,omitempty"`

	// sideEffects has no effect in process: dry-run requests are evaluated like any
	// other. None, NoneOnDryRun, Some or Unknown. A warning is given when it is set.
	// +optional
	SideEffects *admissionregistrationv1.SideEffectClass `json:"sideEffects,omitempty"`

	// timeoutSeconds has no effect in process: there is no webhook call whose timeout
	// it could be. From 1 to 30. A warning is given when it is set.
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

// PolicyGroupMember is a policy in a group. Its name is its key in the group.
type PolicyGroupMember struct {
	// module says where the wasm module is, as that of a policy does. Required.
	Module string `json:"module"`

	// digest is the SHA-256 of the module itself: "sha256:" and 64 lower-case
	// hexadecimal digits. Default: "", the module is not compared with a digest.
	// +optional
	Digest string `json:"digest,omitempty"`

	// verification says what is demanded of the module's signatures beside what is of all.
	// Default: nothing.
	// +optional
	Verification *PolicyVerification `json:"verification,omitempty"`

	// settings are handed to the policy as they stand: any JSON object in which no
	// field occurs twice. Default: {}; null means the same.
	// +optional
	Settings runtime.RawExtension `json:"settings,omitzero"`

	// timeoutEvalSeconds is the wall-clock time that one evaluation of this member
	// may take, in seconds, from 1 to 30. Default: limits.evaluationTimeout.
	// +optional
	TimeoutEvalSeconds *int32 `json:"timeoutEvalSeconds,omitempty"`

	// contextAwareResources are the kinds of which the member may read objects in
	// the cluster, through the host capabilities below kubernetes or as data of a policy in
	// Rego. Default: none.
	// +optional
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`

	// hostCapabilities are the host capabilities that the member may call, as those of
	// a policy. Default: none; every call but tracing is denied then.
	// +optional
	HostCapabilities []string `json:"hostCapabilities,omitempty"`
}

// Sources say how modules are fetched from registries and servers. Hosts are host or
// host:port, in lower case.
type Sources struct {
	// insecure are hosts that may be asked without TLS, or with a certificate that
	// nobody vouches for. Default: none.
	// +optional
	Insecure []string `json:"insecure,omitempty"`

	// authorities are the certificate authorities of hosts, beside those of the system.
	// No host may occur twice. Default: none.
	// +optional
	Authorities []SourceAuthority `json:"authorities,omitempty"`

	// mirrors say where modules are fetched from instead. The longest prefix that a
	// module's URI begins with counts; a prefix may not occur twice. Default: none.
	// +optional
	Mirrors []Mirror `json:"mirrors,omitempty"`

	// dockerConfig is the absolute, clean path of a config.json of Docker with
	// credentials. Changes are taken over while the server runs. Default: "",
	// everything is fetched anonymously.
	// +optional
	DockerConfig string `json:"dockerConfig,omitempty"`

	// layout is the absolute, clean path of an OCI image layout, a directory or a tar, as
	// wasmctl bundle writes it: all modules of registries and web servers come from there, and
	// their signatures, and nobody is asked. Changes are taken over while the server runs.
	// Default: "", none.
	// +optional
	Layout string `json:"layout,omitempty"`

	// timeout bounds fetching one module, retries included, from 1s to 10m.
	// Default: 1m.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// Verification says whose signatures modules must have. What cannot be verified is not
// served: it ends a start, and is a bad change later. Files are read at the start.
type Verification struct {
	// required demands config, or what file holds, of the modules of all policies, those
	// in the policy directory included. If it is false they are demanded of policies that
	// have verification.required. Default: true.
	// +optional
	Required *bool `json:"required,omitempty"`

	// config is Kubewarden's verification config, with apiVersion v1, allOf and anyOf.
	// Default: none.
	// +optional
	Config runtime.RawExtension `json:"config,omitzero"`

	// file is the absolute, clean path of such a config in YAML, instead of config.
	// Default: "", none.
	// +optional
	File string `json:"file,omitempty"`

	// trustRoot is what the certificates of identities are verified against: signatures
	// of kinds genericIssuer and githubAction need one, and pubKey does not. Default:
	// none.
	// +optional
	TrustRoot TrustRoot `json:"trustRoot,omitzero"`
}

// TrustRoot says where the trust root of a Sigstore comes from: one of its fields.
type TrustRoot struct {
	// file is the absolute, clean path of a trusted_root.json, or of a ClientTrustConfig as
	// Kubewarden has it. Default: "", none.
	// +optional
	File string `json:"file,omitempty"`

	// publicGood takes the root of the public Sigstore, which is kept up to date and below
	// the state directory. Default: false.
	// +optional
	PublicGood bool `json:"publicGood,omitempty"`
}

// PolicyVerification says what is demanded of one policy's module. It can only add to
// what is demanded of all.
type PolicyVerification struct {
	// required demands the config of verification of this module too. false is refused if
	// that is required of all. Default: as verification has it.
	// +optional
	Required *bool `json:"required,omitempty"`

	// config is another verification config that the module has to meet. Default: none.
	// +optional
	Config runtime.RawExtension `json:"config,omitzero"`
}

// SourceAuthority says which certificate authorities a host is trusted by.
type SourceAuthority struct {
	// host is host or host:port. Required.
	Host string `json:"host"`
	// files are the absolute, clean paths of files with certificates in PEM. At least
	// one. Required.
	Files []string `json:"files"`
}

// Mirror is where modules are fetched from instead. Both fields begin with registry://
// or both with https://, and both end with '/' or none.
type Mirror struct {
	// prefix is what a URI begins with, up to the end of a segment, such as
	// registry://ghcr.io/kubewarden/. Required.
	Prefix string `json:"prefix"`
	// replacement takes its place, such as registry://mirror.example.com/kubewarden/.
	// Required.
	Replacement string `json:"replacement"`
}

// Reload says how changes of the policy directory, of modules and of credentials are
// taken over.
type Reload struct {
	// interval is how often they are looked at even when the system reports no change,
	// from 1s to 24h. Default: 1m.
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`

	// loadTimeout bounds one try to load all policies, at the start and after a change:
	// reading, fetching, compiling, and asking policies about their settings, from 1s to
	// 1h. What is not loaded by then is a bad change. Default: 2m.
	// +optional
	LoadTimeout *metav1.Duration `json:"loadTimeout,omitempty"`

	// keepLastGood says that the set that was served last is kept in the state
	// directory and served after a restart if the configured one cannot be loaded, or
	// not within loadTimeout. It needs a stateDirectory. Default: false, such a start is refused.
	// +optional
	KeepLastGood bool `json:"keepLastGood,omitempty"`
}

// Compilation says where modules are compiled, and with what.
type Compilation struct {
	// mode is in which process modules are compiled: ChildProcesses or InProcess.
	// Default: ChildProcesses.
	// +optional
	Mode CompilationMode `json:"mode,omitempty"`

	// memory is what the child processes may take together, from 128Mi to 64Gi. Each
	// has at most 256Mi; a module of 8Mi or more, and one in whose compilation a process
	// died, is compiled alone with all of it. In a container it counts against the
	// apiserver's own memory limit. Default: 1Gi.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`

	// workers is how many child processes compile at a time, from 0 to 1024; there are no
	// more than fit into memory with 256Mi each. Default: 0, one for each processor.
	// +optional
	Workers *int32 `json:"workers,omitempty"`

	// timeout is the wall-clock time that loading a module may take once it is its turn,
	// from 1s to 1h: metering and compiling it, starting it and warming it up. In mode InProcess
	// a compilation that takes longer is given up, but not ended. Default: 2m.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// CompilationMode says in which process modules are compiled.
type CompilationMode string

const (
	// CompilationChildProcesses has modules compiled in child processes of the
	// apiserver's binary, whose memory and time are limited. What cannot be compiled so is
	// refused.
	CompilationChildProcesses CompilationMode = "ChildProcesses"
	// CompilationInProcess has modules compiled in the apiserver itself. A module can then
	// take all its memory and processor time, or end it.
	CompilationInProcess CompilationMode = "InProcess"
)

// CircuitBreaker says what is done with a policy that keeps failing: it is answered by
// its failure policy at once, and evaluated now and then to see whether it has recovered.
type CircuitBreaker struct {
	// failures is how many evaluations in a row have to fail, from 0 to 1000000. Zero
	// switches the breaker off. Default: 10.
	// +optional
	Failures *int32 `json:"failures,omitempty"`

	// probeInterval is how often an open breaker lets one evaluation through, from
	// 100ms to 1h. Default: 10s.
	// +optional
	ProbeInterval *metav1.Duration `json:"probeInterval,omitempty"`
}

// Mutation says what is done with what policies make of objects.
type Mutation struct {
	// unknownFields says what becomes of an object in which a policy has a field that the
	// object's kind does not: "Error", the policy has failed, or "Warn", the field is
	// dropped and whoever sent the request is warned. Custom resources are not checked,
	// nor policies in monitor mode. Default: Error.
	// +optional
	UnknownFields UnknownFields `json:"unknownFields,omitempty"`
}

// Review says what policies are given of a request.
type Review struct {
	// omit are fields that are left out of the object and the old object in a request:
	// "managedFields" is metadata.managedFields. What a policy makes of an object gets
	// them back before it is compared with that. A policy that sets one of them itself has
	// failed. No field may occur twice. Default: none, as policies see everything behind
	// a webhook.
	// +optional
	Omit []OmittedField `json:"omit,omitempty"`
}

// OmittedField is a field of an object's metadata that policies can do without.
type OmittedField string

// OmitManagedFields is who manages which of the object's fields.
const OmitManagedFields OmittedField = "managedFields"

// UnknownFields says what becomes of a field that no object of a kind has.
type UnknownFields string

const (
	// UnknownFieldsError has the policy fail that wants it.
	UnknownFieldsError UnknownFields = "Error"
	// UnknownFieldsWarn drops it and warns of it.
	UnknownFieldsWarn UnknownFields = "Warn"
)

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
// 128Mi. A value that is left out takes its default; zero is refused unless it has a
// meaning of its own.
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

	// requestTimeout is the wall-clock time that all policies together may take for one
	// request in one phase of admission, from 1ms to 30s. Default: 10s.
	// +optional
	RequestTimeout *metav1.Duration `json:"requestTimeout,omitempty"`

	// fuel is what one evaluation may burn, one to two and a half units for each instruction, from
	// 1000000 to 1000000000000. Default: 20000000000.
	// +optional
	Fuel *int64 `json:"fuel,omitempty"`

	// stack is what nested calls of one evaluation may take, as estimated, from 64Ki to
	// 512Mi. Default: 6Mi.
	// +optional
	Stack *resource.Quantity `json:"stack,omitempty"`

	// tableEntries is the size that the tables of one module may have, all together,
	// from 1 to 16777216. Default: 131072.
	// +optional
	TableEntries *int32 `json:"tableEntries,omitempty"`

	// compilationTime is the processor time that compiling one module may take, as
	// estimated before, from 1s to 1h. Default: 5m.
	// +optional
	CompilationTime *metav1.Duration `json:"compilationTime,omitempty"`

	// compilationMemory is the memory that compiling one module may take, as estimated
	// before, from 64Mi to 64Gi. Default: 4Gi.
	// +optional
	CompilationMemory *resource.Quantity `json:"compilationMemory,omitempty"`

	// totalMemory is what the linear memories, their images and the compiled code of
	// all modules may take together, from limits.memory to 1Ti. Default: 2Gi.
	// +optional
	TotalMemory *resource.Quantity `json:"totalMemory,omitempty"`

	// moduleEvaluations is how many evaluations of one module may run at the same time,
	// from 0 to 10000; zero means twice the number of processors and at least 4.
	// Default: 0.
	// +optional
	ModuleEvaluations *int32 `json:"moduleEvaluations,omitempty"`

	// moduleWaiters is how many evaluations may wait for one module, from 1 to 100000.
	// Default: 1000.
	// +optional
	ModuleWaiters *int32 `json:"moduleWaiters,omitempty"`

	// policyEvaluations is how many requests one policy may be busy with at the same
	// time, waiting ones included, from 1 to 100000. Default: 500.
	// +optional
	PolicyEvaluations *int32 `json:"policyEvaluations,omitempty"`
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

// Capabilities say how host capabilities answer policies that were granted them.
type Capabilities struct {
	// kubernetes says as whom, and with what, policies look at the cluster. Default:
	// every field at its own default.
	// +optional
	Kubernetes KubernetesCapability `json:"kubernetes,omitzero"`

	// dns says how policies look up hosts. Default: every field at its own default.
	// +optional
	DNS DNSCapability `json:"dns,omitzero"`

	// oci says which registries policies may ask about images, and what that may take.
	// Default: every field at its own default.
	// +optional
	OCI OCICapability `json:"oci,omitzero"`
}

// OCICapability says which registries policies may ask about images, and what that may
// take. Credentials, certificate authorities, mirrors and insecure hosts are those of
// sources. No proxy is asked.
type OCICapability struct {
	// registries are those that policies may ask: host, host:port, *.example.com for the
	// names below a domain, or * for every name. Without a port the default one is meant.
	// A registry that is named with its port, and is no pattern, may have any address;
	// others must have one on the internet. Docker Hub is docker.io. At most 100, none twice.
	// Default: none, and every question fails.
	// +optional
	Registries []string `json:"registries,omitempty"`

	// redirects are further hosts, in the same form, that registries may lead to for what
	// they store and for tokens, such as auth.docker.io. At most 100, none twice.
	// Default: none.
	// +optional
	Redirects []string `json:"redirects,omitempty"`

	// deniedRanges are CIDRs of addresses that are treated as if they were not on the
	// internet, such as those of Services and Pods where these are public: no host is
	// connected to there unless it is named with its port. At most 100, none twice.
	// Default: none.
	// +optional
	DeniedRanges []string `json:"deniedRanges,omitempty"`

	// cacheEntries is how many answers are kept, from 1 to 100000. Default: 4096.
	// +optional
	CacheEntries *int32 `json:"cacheEntries,omitempty"`

	// cacheSize is how large they may be together, from 64Ki to 1Gi. A larger answer is
	// given and not kept. Default: 16Mi.
	// +optional
	CacheSize *resource.Quantity `json:"cacheSize,omitempty"`

	// cacheTTL is how long an answer is given again, from 1s to 1h: how long a policy may
	// not see that a tag has moved. One that is in use is asked for again before. Default: 1m.
	// +optional
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`

	// failureTTL is how long a failure is told again before the registry is asked anew,
	// from 100ms to cacheTTL. Default: 5s, or cacheTTL if that is less.
	// +optional
	FailureTTL *metav1.Duration `json:"failureTTL,omitempty"`

	// staleTTL is how much longer than cacheTTL the last good answer is given if the
	// registry does not answer, from 0s to 24h. An image that is not verified any more is
	// refused in any case. Default: 0s, not at all.
	// +optional
	StaleTTL *metav1.Duration `json:"staleTTL,omitempty"`

	// lookTimeout bounds one look at a registry, from 100ms to 1m. A look goes on when the
	// evaluation that needs it has ended, and serves the next. Default: 10s.
	// +optional
	LookTimeout *metav1.Duration `json:"lookTimeout,omitempty"`

	// policyLooks is how many looks of one policy are under way at the same time, from 1 to
	// 1000; eight times as many may wait. Default: 16.
	// +optional
	PolicyLooks *int32 `json:"policyLooks,omitempty"`

	// registryLooks is how many looks at one registry are under way at the same time, from
	// 1 to 1000. Default: 8.
	// +optional
	RegistryLooks *int32 `json:"registryLooks,omitempty"`
}

// KubernetesCapability says as whom, and with what, policies look at the cluster.
type KubernetesCapability struct {
	// user is the name of the user as whom every look is authorised, whichever policy
	// looks. It needs no account, and may do what roles grant it. Default:
	// system:wasm-admission, which no role grants anything by itself.
	// +optional
	User string `json:"user,omitempty"`

	// groups are the groups that the user is in. No entry may be empty or occur twice,
	// and none may be system:masters. Default: none.
	// +optional
	Groups []string `json:"groups,omitempty"`

	// secretReaders are the names of the policies that may read Secrets. Their
	// contextAwareResources have to name the kind too, and the user has to be allowed it.
	// A policy from the policy directory has the name that it has in messages, and a
	// member of a group is <group>/<member>. No entry may be empty or occur twice.
	// Default: none.
	// +optional
	SecretReaders []string `json:"secretReaders,omitempty"`

	// memorySize bounds what is held of the cluster for policies, from 1Mi to 64Gi.
	// Default: 256Mi.
	// +optional
	MemorySize *resource.Quantity `json:"memorySize,omitempty"`

	// idleTimeout is how long a kind is held that no policy uses, from 1m to 24h.
	// Default: 10m.
	// +optional
	IdleTimeout *metav1.Duration `json:"idleTimeout,omitempty"`

	// getResource is what is kept of the objects that policies get one by one. What is
	// listed is held otherwise, within memorySize. Default: every field at its own
	// default.
	// +optional
	GetResource AnswerCache `json:"getResource,omitzero"`

	// canI is what is kept of the answers to whether somebody may do something. Default:
	// every field at its own default.
	// +optional
	CanI AnswerCache `json:"canI,omitzero"`
}

// AnswerCache bounds what is kept of the answers to one host capability, all policies
// together. Those that were used last are kept.
type AnswerCache struct {
	// cacheEntries is how many answers are kept, from 1 to 100000. Default: 4096.
	// +optional
	CacheEntries *int32 `json:"cacheEntries,omitempty"`

	// cacheSize is how large they may be together, with what was asked, from 64Ki to 1Gi.
	// A larger answer is given and not kept. Default: 16Mi.
	// +optional
	CacheSize *resource.Quantity `json:"cacheSize,omitempty"`

	// cacheTTL is how long they are kept, from 1s to 1m: how long a policy may not see
	// what has changed, unless it asks for no cache. Default: 5s.
	// +optional
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`
}

// DNSCapability says how policies look up hosts.
type DNSCapability struct {
	// cacheEntries is how many hosts' addresses are kept, from 1 to 100000.
	// Default: 1000.
	// +optional
	CacheEntries *int32 `json:"cacheEntries,omitempty"`

	// cacheTTL is how long they are kept, from 1s to 1m. Default: 30s.
	// +optional
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`
}
