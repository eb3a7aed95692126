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

// WasmAdmissionConfiguration configures the WasmAdmission plugin. kube-apiserver reads it once,
// when it starts, from the plugin's entry in the file that --admission-control-config-file names.
type WasmAdmissionConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	// policies are the policies to serve, in any order. Default: none; a plugin without any
	// policies admits every request.
	// +optional
	Policies []Policy `json:"policies,omitempty"`

	// policyGroups are groups of policies that decide together, in any order. Default: none.
	// +optional
	PolicyGroups []PolicyGroup `json:"policyGroups,omitempty"`

	// policyDirectory is the absolute, clean path of a directory of Kubewarden policy manifests:
	// *.yaml, *.yml and *.json files with objects of policies.kubewarden.io. The plugin applies
	// changes in it while the server runs. Default: "", none.
	// +optional
	PolicyDirectory string `json:"policyDirectory,omitempty"`

	// minimumPolicies is how many policies and groups there must be, in the file and the policy
	// directory together. With fewer, the server does not start, and the plugin rejects a change
	// that leaves fewer. It catches a directory that is not mounted or was emptied by mistake. 0 to
	// 10000. Default: 0.
	// +optional
	MinimumPolicies int32 `json:"minimumPolicies,omitempty"`

	// stateDirectory is the absolute, clean path of a directory below which the plugin keeps
	// modules from registries and compiled code, so that the next start need not fetch and compile
	// them again. Modules from registries require it. In compilation.mode ChildProcesses, the start
	// fails if the directory cannot be used. Default: "", compiled code is not kept.
	// +optional
	StateDirectory string `json:"stateDirectory,omitempty"`

	// breakGlassFile is the absolute, clean path of a file that puts policies into monitor mode
	// until a time that it states. The plugin watches the path, and the file need not exist.
	// Default: "", none.
	// +optional
	BreakGlassFile string `json:"breakGlassFile,omitempty"`

	// requireCompiler makes the start fail if the system can only interpret modules: it has no
	// compiler for this platform, or it does not allow code that is generated at run time.
	// Interpreted code is many times slower. Default: false; the plugin interprets modules and logs
	// a warning.
	// +optional
	RequireCompiler bool `json:"requireCompiler,omitempty"`

	// compilation says where modules are compiled, and with which resources. Default: in child
	// processes, and every other field at its own default.
	// +optional
	Compilation Compilation `json:"compilation,omitzero"`

	// sources say how modules are fetched from registries and servers. Default: with TLS,
	// anonymously, and from where their URIs say.
	// +optional
	Sources Sources `json:"sources,omitzero"`

	// verification says whose signatures modules must have. A policy can only add demands. Default:
	// none; modules need no signature.
	// +optional
	Verification *Verification `json:"verification,omitempty"`

	// reload says when and how the plugin applies changes of the policy directory, of modules and
	// of credentials. Default: every field at its own default.
	// +optional
	Reload Reload `json:"reload,omitzero"`

	// circuitBreaker says when the plugin stops evaluating a policy that keeps failing. Default:
	// every field at its own default.
	// +optional
	CircuitBreaker CircuitBreaker `json:"circuitBreaker,omitzero"`

	// mutation says how the plugin treats the changes that policies make to objects. Default: every
	// field at its own default.
	// +optional
	Mutation Mutation `json:"mutation,omitzero"`

	// review says which parts of a request policies get. It applies to all policies. Default: every
	// field at its own default.
	// +optional
	Review Review `json:"review,omitzero"`

	// limits bound what policies may use. Default: every limit at its own default.
	// +optional
	Limits Limits `json:"limits,omitzero"`

	// exemptions name requests that no policy sees. Default: none.
	// +optional
	Exemptions Exemptions `json:"exemptions,omitzero"`

	// capabilities configure the host capabilities that policies may be granted. Default: every
	// field at its own default.
	// +optional
	Capabilities Capabilities `json:"capabilities,omitzero"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// BreakGlass puts policies into monitor mode for a while. It is the content of the file that
// breakGlassFile names, at most 64 KiB. The plugin reads the file whenever it changes.
type BreakGlass struct {
	metav1.TypeMeta `json:",inline"`

	// until is when policies are enforced again, at most a day ahead. Required.
	Until metav1.Time `json:"until"`

	// policies are the names of policies and groups, 1 to 1000 of them, or "*" alone for all of
	// them. Required.
	Policies []string `json:"policies"`

	// reason says why, in 1 to 1024 bytes, for readers of the log. Required.
	Reason string `json:"reason"`
}

// Policy is one module with its settings and the requests that it decides on. Apart from name and
// digest, its fields are those of the spec of a Kubewarden ClusterAdmissionPolicy
// (policies.kubewarden.io/v1), so you can paste a spec.
type Policy struct {
	// name identifies the policy in messages, metrics and audit annotations: a DNS
	// subdomain of at most 253 characters, unique in the file. Required.
	Name string `json:"name"`

	// module is the URI of the wasm module. file:// is followed by the absolute, clean path of a
	// file, such as file:///etc/kubernetes/wasm-admission/policy.wasm. The path is not
	// percent-encoded and contains none of '%', '?' and '#'. registry:// is followed by a reference
	// to an OCI artifact, such as registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3;
	// without a tag or digest it means the tag latest. https:// is followed by host and path;
	// http:// is for the hosts in sources.insecure. At most 4096 bytes after the scheme. Required.
	Module string `json:"module"`

	// digest is the SHA-256 of the module itself, wherever it comes from: "sha256:" and 64
	// lowercase hexadecimal digits. Default: "", any module is accepted.
	// +optional
	Digest string `json:"digest,omitempty"`

	// verification adds demands on the module's signatures to those of the configuration. Default:
	// it adds none.
	// +optional
	Verification *PolicyVerification `json:"verification,omitempty"`

	// settings are passed to the policy unchanged: any JSON object in which no field occurs twice.
	// Default: {}; null means the same.
	// +optional
	Settings runtime.RawExtension `json:"settings,omitzero"`

	// rules say which requests the policy evaluates: those that match at least one rule. They
	// follow the same constraints as the rules of a ValidatingWebhookConfiguration. Default: the
	// rules in the module's own metadata. An empty list is an error.
	// +optional
	Rules []admissionregistrationv1.RuleWithOperations `json:"rules,omitempty"`

	// failurePolicy says what happens to a request if the policy gives no usable answer, because it
	// fails or exceeds a limit: Fail rejects it, Ignore admits it. Default: Fail.
	// +optional
	FailurePolicy admissionregistrationv1.FailurePolicyType `json:"failurePolicy,omitempty"`

	// matchPolicy says whether rules also match a request for the same resource in another group or
	// version: Equivalent or Exact. Default: Equivalent.
	// +optional
	MatchPolicy admissionregistrationv1.MatchPolicyType `json:"matchPolicy,omitempty"`

	// namespaceSelector restricts the policy to requests for objects in namespaces with matching
	// labels, and for matching namespaces themselves. It never excludes other cluster-scoped
	// objects. Default: every namespace.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// objectSelector restricts the policy to requests whose object or old object has matching
	// labels. Default: every object.
	// +optional
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`

	// matchConditions are CEL expressions. The policy evaluates a request only if all of them are
	// true. They see object, oldObject, request and authorizer, like those of a webhook. At most
	// 64, each with a unique qualified name. Default: none.
	// +optional
	MatchConditions []admissionregistrationv1.MatchCondition `json:"matchConditions,omitempty"`

	// timeoutEvalSeconds bounds the wall-clock time of one evaluation of this policy, in seconds,
	// from 1 to 30. Default: limits.evaluationTimeout.
	// +optional
	TimeoutEvalSeconds *int32 `json:"timeoutEvalSeconds,omitempty"`

	// message replaces the policy's own message if it rejects a request. At most 1024 bytes.
	// Default: "", the policy's own message.
	// +optional
	Message string `json:"message,omitempty"`

	// mode is protect, to enforce the policy's answer, or monitor, only to record it. Default:
	// protect.
	// +optional
	Mode PolicyMode `json:"mode,omitempty"`

	// mutating lets the policy change objects. Such a policy is evaluated in the mutating phase of
	// admission, and not again in the validating one. Default: false.
	// +optional
	Mutating bool `json:"mutating,omitempty"`

	// reinvocationPolicy says whether a mutating policy is evaluated again after other policies or
	// plugins changed the object: IfNeeded or Never. Default: IfNeeded.
	// +optional
	ReinvocationPolicy admissionregistrationv1.ReinvocationPolicyType `json:"reinvocationPolicy,omitempty"`

	// review adds to the fields that the configuration's review omits. Default: every field at its
	// own default.
	// +optional
	Review Review `json:"review,omitzero"`

	// contextAwareResources are the kinds whose objects in the cluster the policy may read, through
	// the host capabilities below kubernetes or, in Rego, as data. Default: none.
	// +optional
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`

	// hostCapabilities are the host capabilities that the policy may call: "*" for all, a prefix
	// such as "oci/*" or "oci/v1/*", or one path such as "kubernetes/get_resource". No pattern may
	// occur twice. Default: none, which denies every call but tracing.
	// +optional
	HostCapabilities []string `json:"hostCapabilities,omitempty"`

	// policyServer has no effect in process: there is no policy server. Setting it causes a
	// warning.
	// +optional
	PolicyServer *string `json:"policyServer,omitempty"`

	// sideEffects has no effect in process: dry-run requests are evaluated like any other. None,
	// NoneOnDryRun, Some or Unknown. Setting it causes a warning.
	// +optional
	SideEffects *admissionregistrationv1.SideEffectClass `json:"sideEffects,omitempty"`

	// timeoutSeconds has no effect in process: there is no webhook call to time out, and
	// timeoutEvalSeconds bounds the evaluation. From 1 to 30. Setting it causes a warning.
	// +optional
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// backgroundAudit has no effect in process: nothing scans the objects that already exist.
	// Setting it causes a warning.
	// +optional
	BackgroundAudit *bool `json:"backgroundAudit,omitempty"`

	// allowInsideAdmissionControllerNamespace has no effect in process: there is no controller
	// whose namespace to leave out. Setting it causes a warning.
	// +optional
	AllowInsideAdmissionControllerNamespace *bool `json:"allowInsideAdmissionControllerNamespace,omitempty"`
}

// PolicyGroup combines the verdicts of several policies with an expression. Apart from name, its
// fields are those of the spec of a Kubewarden ClusterAdmissionPolicyGroup
// (policies.kubewarden.io/v1). A group never mutates.
type PolicyGroup struct {
	// name identifies the group in messages, metrics and audit annotations: a DNS
	// subdomain of at most 253 characters, unique among policies and groups. Required.
	Name string `json:"name"`

	// expression is a CEL expression that admits the request if it is true, such as "signed() ||
	// (trusted() && scanned())". It calls each member as a function without parameters, which says
	// whether the member accepts the request. Operators are ==, !=, ||, && and !. Members whose
	// verdict is not needed are not evaluated. At most 8192 bytes. Required.
	Expression string `json:"expression"`

	// message is the message of a rejection. At most 1024 bytes. Required.
	Message string `json:"message"`

	// policies are the members, by the names that the expression uses: letters, digits and '_', no
	// digit first, and no reserved word of CEL. At least one. Required.
	Policies map[string]PolicyGroupMember `json:"policies"`

	// rules say which requests the group evaluates, like those of a policy. A group cannot take
	// them from its modules, which may differ. At least one. Required.
	Rules []admissionregistrationv1.RuleWithOperations `json:"rules"`

	// failurePolicy says what happens to a request if a member gives no usable answer: Fail rejects
	// it, Ignore admits it. Default: Fail.
	// +optional
	FailurePolicy admissionregistrationv1.FailurePolicyType `json:"failurePolicy,omitempty"`

	// matchPolicy says whether rules also match a request for the same resource in another group or
	// version: Equivalent or Exact. Default: Equivalent.
	// +optional
	MatchPolicy admissionregistrationv1.MatchPolicyType `json:"matchPolicy,omitempty"`

	// namespaceSelector restricts the group like that of a policy. Default: every namespace.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// objectSelector restricts the group like that of a policy. Default: every object.
	// +optional
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`

	// matchConditions are CEL expressions, like those of a policy. The group evaluates a request
	// only if all of them are true. At most 64, each with a unique qualified name. Default: none.
	// +optional
	MatchConditions []admissionregistrationv1.MatchCondition `json:"matchConditions,omitempty"`

	// mode is protect, to enforce the verdict, or monitor, only to record it. Default: protect.
	// +optional
	Mode PolicyMode `json:"mode,omitempty"`

	// review adds to the fields that the configuration's review omits, for all members. Default:
	// every field at its own default.
	// +optional
	Review Review `json:"review,omitzero"`

	// policyServer has no effect in process: there is no policy server. Setting it causes a
	// warning.
	// +optional
	PolicyServer *string `json:"policyServer,omitempty"`

	// sideEffects has no effect in process: dry-run requests are evaluated like any other. None,
	// NoneOnDryRun, Some or Unknown. Setting it causes a warning.
	// +optional
	SideEffects *admissionregistrationv1.SideEffectClass `json:"sideEffects,omitempty"`

	// timeoutSeconds has no effect in process: there is no webhook call to time out. From 1 to 30.
	// Setting it causes a warning.
	// +optional
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// backgroundAudit has no effect in process: nothing scans the objects that already exist.
	// Setting it causes a warning.
	// +optional
	BackgroundAudit *bool `json:"backgroundAudit,omitempty"`

	// allowInsideAdmissionControllerNamespace has no effect in process: there is no controller
	// whose namespace to leave out. Setting it causes a warning.
	// +optional
	AllowInsideAdmissionControllerNamespace *bool `json:"allowInsideAdmissionControllerNamespace,omitempty"`
}

// PolicyGroupMember is a policy in a group. Its name is its key in the group.
type PolicyGroupMember struct {
	// module is the URI of the wasm module, like that of a policy. Required.
	Module string `json:"module"`

	// digest is the SHA-256 of the module itself: "sha256:" and 64 lowercase hexadecimal digits.
	// Default: "", any module is accepted.
	// +optional
	Digest string `json:"digest,omitempty"`

	// verification adds demands on the module's signatures to those of the configuration. Default:
	// it adds none.
	// +optional
	Verification *PolicyVerification `json:"verification,omitempty"`

	// settings are passed to the member unchanged: any JSON object in which no field occurs twice.
	// Default: {}; null means the same.
	// +optional
	Settings runtime.RawExtension `json:"settings,omitzero"`

	// timeoutEvalSeconds bounds the wall-clock time of one evaluation of this member, in seconds,
	// from 1 to 30. Default: limits.evaluationTimeout.
	// +optional
	TimeoutEvalSeconds *int32 `json:"timeoutEvalSeconds,omitempty"`

	// contextAwareResources are the kinds whose objects in the cluster the member may read, through
	// the host capabilities below kubernetes or, in Rego, as data. Default: none.
	// +optional
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`

	// hostCapabilities are the host capabilities that the member may call, like those of a policy.
	// Default: none, which denies every call but tracing.
	// +optional
	HostCapabilities []string `json:"hostCapabilities,omitempty"`
}

// Sources say how modules are fetched from registries and servers. Write hosts as host or
// host:port, in lowercase.
type Sources struct {
	// insecure are hosts that may be reached without TLS, or with a certificate that no authority
	// vouches for. Default: none.
	// +optional
	Insecure []string `json:"insecure,omitempty"`

	// authorities are the certificate authorities of hosts, in addition to those of the system. No
	// host may occur twice. Default: none.
	// +optional
	Authorities []SourceAuthority `json:"authorities,omitempty"`

	// mirrors say where to fetch modules from instead. The longest prefix that matches a module's
	// URI wins. No prefix may occur twice. Default: none.
	// +optional
	Mirrors []Mirror `json:"mirrors,omitempty"`

	// dockerConfig is the absolute, clean path of a Docker config.json with credentials. The plugin
	// applies changes while the server runs. Default: "", the plugin fetches everything
	// anonymously.
	// +optional
	DockerConfig string `json:"dockerConfig,omitempty"`

	// layout is the absolute, clean path of an OCI image layout, a directory or a tar, as wasmctl
	// bundle writes it. All modules of registries and web servers, and their signatures, come from
	// it, and the plugin contacts no server. The plugin applies changes while the server runs.
	// Default: "", none.
	// +optional
	Layout string `json:"layout,omitempty"`

	// timeout bounds fetching one module, retries included, from 1s to 10m.
	// Default: 1m.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// Verification says whose signatures modules must have. A policy whose module cannot be verified is
// not served: at the start, the start fails; later, the change is bad. Files are read at the start.
type Verification struct {
	// required demands config, or the content of file, for the modules of all policies, including
	// those in the policy directory. If it is false, only policies with verification.required need
	// it. Default: true.
	// +optional
	Required *bool `json:"required,omitempty"`

	// config is a Kubewarden verification config, with apiVersion v1, allOf and anyOf. Default:
	// none.
	// +optional
	Config runtime.RawExtension `json:"config,omitzero"`

	// file is the absolute, clean path of such a config in YAML, to use instead of config. Default:
	// "", none.
	// +optional
	File string `json:"file,omitempty"`

	// trustRoot is the trust root that verifies the certificates of identities. Signatures of kinds
	// genericIssuer and githubAction need one, and pubKey does not. Default: none.
	// +optional
	TrustRoot TrustRoot `json:"trustRoot,omitzero"`
}

// TrustRoot says where the Sigstore trust root comes from. At most one field may be set.
type TrustRoot struct {
	// file is the absolute, clean path of a trusted_root.json, or of a ClientTrustConfig like
	// Kubewarden's. Default: "", none.
	// +optional
	File string `json:"file,omitempty"`

	// publicGood uses the trust root of the public Sigstore. The plugin keeps it up to date, below
	// the state directory. Default: false.
	// +optional
	PublicGood bool `json:"publicGood,omitempty"`
}

// PolicyVerification says which signatures one policy's module must have, in addition to those that
// the configuration demands of all modules.
type PolicyVerification struct {
	// required demands the configuration's verification config for this module too. It may not be
	// false if the configuration requires it for all modules. Default: what verification.required
	// says.
	// +optional
	Required *bool `json:"required,omitempty"`

	// config is a further verification config that the module must satisfy. Default: none.
	// +optional
	Config runtime.RawExtension `json:"config,omitzero"`
}

// SourceAuthority names the certificate authorities to trust for a host.
type SourceAuthority struct {
	// host is host or host:port. Required.
	Host string `json:"host"`
	// files are the absolute, clean paths of files with certificates in PEM. At least one.
	// Required.
	Files []string `json:"files"`
}

// Mirror replaces a prefix of URIs, so that modules are fetched from somewhere else. Both fields
// begin with registry://, or both with https://. Either both end with '/' or neither does.
type Mirror struct {
	// prefix is the beginning of a URI, up to the end of a segment, such as
	// registry://ghcr.io/kubewarden/. Required.
	Prefix string `json:"prefix"`
	// replacement replaces the prefix, such as registry://mirror.example.com/kubewarden/. Required.
	Replacement string `json:"replacement"`
}

// Reload says when and how the plugin applies changes of the policy directory, of modules and of
// credentials.
type Reload struct {
	// interval is how often the plugin looks for changes, even if the system reports none, from 1s
	// to 24h. Default: 1m.
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`

	// loadTimeout bounds one attempt to load all policies, at the start and after a change, from 1s
	// to 1h. It includes reading, fetching, compiling, and asking policies about their settings. An
	// attempt that takes longer fails. Default: 2m.
	LoadTimeout *metav1.Duration `json:"loadTimeout,omitempty"`

	// keepLastGood keeps the last set that was served in the state directory. After a restart, the
	// plugin serves that set if the configured one fails to load or takes longer than loadTimeout.
	// It requires stateDirectory. Default: false; the start fails instead.
	// +optional
	KeepLastGood bool `json:"keepLastGood,omitempty"`
}

// Compilation says where modules are compiled, and with which resources.
type Compilation struct {
	// mode is the process that compiles: ChildProcesses or InProcess. Default: ChildProcesses.
	// +optional
	Mode CompilationMode `json:"mode,omitempty"`

	// memory is how much the child processes may use together, from 128Mi to 64Gi. Each may use at
	// most 256Mi. A module of 8Mi or more is compiled alone with all of it, and so is a module
	// whose compilation killed a process. In a container it counts against the apiserver's own
	// memory limit. Default: 1Gi.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`

	// workers is how many child processes compile at a time, from 0 to 1024. There are never more
	// than fit into memory with 256Mi each. Default: 0, one for each processor.
	// +optional
	Workers *int32 `json:"workers,omitempty"`

	// timeout bounds the wall-clock time of loading one module, from 1s to 1h: metering, compiling,
	// starting and warming it up. Waiting for its turn does not count. In mode InProcess, the
	// plugin gives up a compilation that takes longer, but cannot stop it. Default: 2m.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// CompilationMode is the kind of process that compiles modules.
type CompilationMode string

const (
	// CompilationChildProcesses compiles modules in child processes that run the apiserver's binary
	// with limited memory and time. A module that cannot be compiled that way fails to load.
	CompilationChildProcesses CompilationMode = "ChildProcesses"
	// CompilationInProcess compiles modules in the apiserver itself. A module can then exhaust the
	// apiserver's memory and processor time, or crash it.
	CompilationInProcess CompilationMode = "InProcess"
)

// CircuitBreaker says when the plugin stops evaluating a policy that keeps failing. While the
// breaker is open, the failure policy answers at once, and now and then one evaluation probes
// whether the policy has recovered.
type CircuitBreaker struct {
	// failures is how many consecutive evaluations must fail to open the breaker, from 0 to
	// 1000000. 0 disables the breaker. Default: 10.
	// +optional
	Failures *int32 `json:"failures,omitempty"`

	// probeInterval is how often an open breaker lets one evaluation through, from
	// 100ms to 1h. Default: 10s.
	// +optional
	ProbeInterval *metav1.Duration `json:"probeInterval,omitempty"`
}

// Mutation says how the plugin treats the changes that policies make to objects.
type Mutation struct {
	// unknownFields says what happens if a policy adds a field that the object's kind does not
	// have. "Error": the policy has failed. "Warn": the plugin drops the field and warns the
	// client. It does not check custom resources, nor policies in monitor mode. Default: Error.
	// +optional
	UnknownFields UnknownFields `json:"unknownFields,omitempty"`
}

// Review says which parts of a request policies get.
type Review struct {
	// omit are fields to leave out of the object and the old object in a request: "managedFields"
	// is metadata.managedFields. The plugin puts them back into a changed object before it compares
	// that with the original. A policy that sets an omitted field itself has failed. No field may
	// occur twice. Default: none, so policies see the same as behind a webhook.
	// +optional
	Omit []OmittedField `json:"omit,omitempty"`
}

// OmittedField is a field of an object's metadata that policies can do without.
type OmittedField string

// OmitManagedFields omits metadata.managedFields, which records who manages which fields.
const OmitManagedFields OmittedField = "managedFields"

// UnknownFields says what happens to a field that the object's kind does not have.
type UnknownFields string

const (
	// UnknownFieldsError makes the policy that adds the field fail.
	UnknownFieldsError UnknownFields = "Error"
	// UnknownFieldsWarn drops the field and warns the client.
	UnknownFieldsWarn UnknownFields = "Warn"
)

// PolicyMode says whether a policy's answer takes effect.
type PolicyMode string

const (
	// ModeProtect enforces the policy's answer.
	ModeProtect PolicyMode = "protect"
	// ModeMonitor records the policy's answer and admits the request.
	ModeMonitor PolicyMode = "monitor"
)

// ContextAwareResource is a kind whose objects a policy may read.
type ContextAwareResource struct {
	// apiVersion is the group and version, such as apps/v1, or the version alone for
	// the core group. Required.
	APIVersion string `json:"apiVersion"`
	// kind is the kind in that version, such as Deployment. Required.
	Kind string `json:"kind"`
}

// Limits bound what policies may use. Sizes are quantities of whole bytes, such as 128Mi. A field
// that is left out takes its default. 0 is an error unless the field gives it a meaning.
type Limits struct {
	// moduleSize is the size of the largest module file that the plugin reads, from 1 to 1Gi.
	// Default: 128Mi.
	// +optional
	ModuleSize *resource.Quantity `json:"moduleSize,omitempty"`

	// memory is the linear memory that one instance of a module may have, from 64Ki to 4Gi. It is a
	// multiple of 64Ki, the page size of WebAssembly. Default: 128Mi.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`

	// requestSize is the size of the largest evaluation request that a policy gets, in JSON and
	// with the settings, from 1 to 64Mi. Default: 8Mi.
	// +optional
	RequestSize *resource.Quantity `json:"requestSize,omitempty"`

	// responseSize is the size of the largest answer that a policy may give, from 1 to 64Mi.
	// Default: 8Mi.
	// +optional
	ResponseSize *resource.Quantity `json:"responseSize,omitempty"`

	// hostCallPayloadSize is the largest payload of one host call, in either
	// direction, from 1 to 64Mi. Default: 4Mi.
	// +optional
	HostCallPayloadSize *resource.Quantity `json:"hostCallPayloadSize,omitempty"`

	// logLineSize is the length to which the plugin cuts a line that a policy logs, from 1 to 64Ki.
	// Default: 4Ki.
	// +optional
	LogLineSize *resource.Quantity `json:"logLineSize,omitempty"`

	// hostCalls is the number of host calls that one evaluation may make, from 1 to
	// 100000. Default: 1000.
	// +optional
	HostCalls *int32 `json:"hostCalls,omitempty"`

	// guestLogLinesPerSecond is the number of lines that one policy may log in a second, from 1 to
	// 10000. The plugin drops further lines. Default: 100.
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

	// fuel is what one evaluation may burn, from 1000000 to 1000000000000. An instruction burns one
	// to two and a half units. Default: 20000000000.
	// +optional
	Fuel *int64 `json:"fuel,omitempty"`

	// stack is what the nested calls of one evaluation may take, by an estimate, from 64Ki to
	// 512Mi. Default: 6Mi.
	// +optional
	Stack *resource.Quantity `json:"stack,omitempty"`

	// tableEntries is the total size that the tables of one module may have, from 1 to 16777216.
	// Default: 131072.
	// +optional
	TableEntries *int32 `json:"tableEntries,omitempty"`

	// compilationTime is the processor time that compiling one module may take, by an estimate
	// beforehand, from 1s to 1h. Default: 5m.
	// +optional
	CompilationTime *metav1.Duration `json:"compilationTime,omitempty"`

	// compilationMemory is the memory that compiling one module may take, by an estimate
	// beforehand, from 64Mi to 64Gi. Default: 4Gi.
	// +optional
	CompilationMemory *resource.Quantity `json:"compilationMemory,omitempty"`

	// totalMemory is what the linear memories, their images and the compiled code of
	// all modules may take together, from limits.memory to 1Ti. Default: 2Gi.
	// +optional
	TotalMemory *resource.Quantity `json:"totalMemory,omitempty"`

	// moduleEvaluations is how many evaluations of one module may run at the same time, from 0 to
	// 10000. 0 means twice the number of processors, at least 4. Default: 0.
	// +optional
	ModuleEvaluations *int32 `json:"moduleEvaluations,omitempty"`

	// moduleWaiters is how many evaluations may wait for one module, from 1 to 100000.
	// Default: 1000.
	// +optional
	ModuleWaiters *int32 `json:"moduleWaiters,omitempty"`

	// policyEvaluations is how many requests one policy may hold at the same time, including those
	// that wait, from 1 to 100000. Default: 500.
	// +optional
	PolicyEvaluations *int32 `json:"policyEvaluations,omitempty"`
}

// Exemptions name requests that no policy sees. One match suffices.
type Exemptions struct {
	// usernames are the names of users whose requests are exempt, compared exactly. No entry may be
	// empty or occur twice. Default: none.
	// +optional
	Usernames []string `json:"usernames,omitempty"`

	// groups are the groups whose members' requests are exempt, compared exactly. No
	// entry may be empty or occur twice. Default: none.
	// +optional
	Groups []string `json:"groups,omitempty"`

	// namespaces are the namespaces in which requests are exempt. Each is a DNS label of at most 63
	// characters. None may occur twice. Default: none.
	Namespaces []string `json:"namespaces,omitempty"`
}

// Capabilities configure the host capabilities that policies may be granted.
type Capabilities struct {
	// kubernetes configures how policies read the cluster. Default: every field at its own default.
	// +optional
	Kubernetes KubernetesCapability `json:"kubernetes,omitzero"`

	// dns configures how policies look up hosts. Default: every field at its own default.
	// +optional
	DNS DNSCapability `json:"dns,omitzero"`

	// oci configures how policies ask registries about images. Default: every field at its own
	// default.
	// +optional
	OCI OCICapability `json:"oci,omitzero"`
}

// OCICapability says which registries policies may ask about images, and with which bounds.
// Credentials, certificate authorities, mirrors and insecure hosts are those of sources. No proxy
// is used.
type OCICapability struct {
	// registries are those that policies may ask: host, host:port, *.example.com for the names
	// below a domain, or * for every name. Without a port, the default port is meant. A registry
	// that is listed with its port, and not by a pattern, may have any address. All others must
	// have a public one. Docker Hub is docker.io. At most 100, none twice. Default: none, and every
	// question fails.
	// +optional
	Registries []string `json:"registries,omitempty"`

	// redirects are further hosts, in the same form, that registries may redirect to for blobs and
	// for tokens, such as auth.docker.io. At most 100, none twice. Default: none.
	// +optional
	Redirects []string `json:"redirects,omitempty"`

	// deniedRanges are CIDRs of addresses to treat as if they were not public, such as those of
	// Services and Pods in a cluster where these are public. The plugin does not connect to a host
	// there unless the host is listed with its port. At most 100, none twice. Default: none.
	// +optional
	DeniedRanges []string `json:"deniedRanges,omitempty"`

	// cacheEntries is how many answers the cache keeps, from 1 to 100000. Default: 4096.
	// +optional
	CacheEntries *int32 `json:"cacheEntries,omitempty"`

	// cacheSize is the total size of the cached answers, from 64Ki to 1Gi. The cache does not keep
	// a larger answer. Default: 16Mi.
	// +optional
	CacheSize *resource.Quantity `json:"cacheSize,omitempty"`

	// cacheTTL is how long the cache returns an answer, from 1s to 1h. For that long a policy may
	// not see that a tag has moved. The plugin renews an answer that is in use before it expires.
	// Default: 1m.
	// +optional
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`

	// failureTTL is how long the cache returns a failure before the plugin asks the registry again,
	// from 100ms to cacheTTL. Default: 5s, or cacheTTL if that is less.
	// +optional
	FailureTTL *metav1.Duration `json:"failureTTL,omitempty"`

	// staleTTL is how much longer than cacheTTL the cache returns the last good answer while the
	// registry does not respond, from 0s to 24h. An image that no longer passes verification is
	// rejected in any case. Default: 0s, no longer.
	// +optional
	StaleTTL *metav1.Duration `json:"staleTTL,omitempty"`

	// lookTimeout bounds one look at a registry, from 100ms to 1m. A look goes on after the
	// evaluation that needs it has ended, and its answer serves the next one. Default: 10s.
	// +optional
	LookTimeout *metav1.Duration `json:"lookTimeout,omitempty"`

	// policyLooks is how many looks of one policy may run at the same time, from 1 to 1000. Eight
	// times as many may wait. Default: 16.
	// +optional
	PolicyLooks *int32 `json:"policyLooks,omitempty"`

	// registryLooks is how many looks at one registry may run at the same time, from 1 to 1000.
	// Default: 8.
	// +optional
	RegistryLooks *int32 `json:"registryLooks,omitempty"`
}

// KubernetesCapability says as which user policies read the cluster, and with which bounds.
type KubernetesCapability struct {
	// user is the user name under which the apiserver authorizes every read, for all policies. It
	// needs no account, and may do what roles grant it. Default: system:wasm-admission, to which no
	// role grants anything unless you bind one.
	// +optional
	User string `json:"user,omitempty"`

	// groups are the groups of the user. No entry may be empty or occur twice, and none may be
	// system:masters. Default: none.
	// +optional
	Groups []string `json:"groups,omitempty"`

	// secretReaders are the names of the policies that may read Secrets. Their
	// contextAwareResources must list Secrets too, and the user must be allowed to read them. Write
	// a policy of the policy directory as messages name it, and a member of a group as
	// <group>/<member>. No entry may be empty or occur twice. Default: none.
	// +optional
	SecretReaders []string `json:"secretReaders,omitempty"`

	// memorySize bounds what the plugin caches of the cluster for policies, from 1Mi to 64Gi.
	// Default: 256Mi.
	// +optional
	MemorySize *resource.Quantity `json:"memorySize,omitempty"`

	// idleTimeout is how long the plugin caches a kind that no policy uses, from 1m to 24h.
	// Default: 10m.
	// +optional
	IdleTimeout *metav1.Duration `json:"idleTimeout,omitempty"`

	// getResource is the cache of the objects that policies get one by one. Lists have their own
	// cache, within memorySize. Default: every field at its own default.
	// +optional
	GetResource AnswerCache `json:"getResource,omitzero"`

	// canI is the cache of the answers to whether a user may do something. Default: every field at
	// its own default.
	// +optional
	CanI AnswerCache `json:"canI,omitzero"`
}

// AnswerCache bounds the cache of the answers to one host capability, for all policies together. It
// evicts the least recently used answers.
type AnswerCache struct {
	// cacheEntries is how many answers the cache keeps, from 1 to 100000. Default: 4096.
	// +optional
	CacheEntries *int32 `json:"cacheEntries,omitempty"`

	// cacheSize is the total size of the cached answers and their questions, from 64Ki to 1Gi. The
	// cache does not keep a larger answer. Default: 16Mi.
	// +optional
	CacheSize *resource.Quantity `json:"cacheSize,omitempty"`

	// cacheTTL is how long the cache keeps an answer, from 1s to 1m. For that long a policy may not
	// see a change, unless it asks for an answer that is not cached. Default: 5s.
	// +optional
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`
}

// DNSCapability configures how policies look up hosts.
type DNSCapability struct {
	// cacheEntries is how many hosts' addresses the cache keeps, from 1 to 100000. Default: 1000.
	// +optional
	CacheEntries *int32 `json:"cacheEntries,omitempty"`

	// cacheTTL is how long the cache keeps an address, from 1s to 1m. Default: 30s.
	// +optional
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`
}
