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

// WasmAdmissionConfiguration is the configuration of the WasmAdmission plugin with all defaults
// applied. The comments in v1alpha1 state the allowed values, and package validation checks them.
type WasmAdmissionConfiguration struct {
	metav1.TypeMeta

	// Policies are the policies to serve, in any order. Names are unique among policies and groups.
	Policies []Policy
	// PolicyGroups are groups of policies that decide together, in any order.
	PolicyGroups []PolicyGroup
	// PolicyDirectory is the absolute, clean path of a directory of Kubewarden policy manifests,
	// which the plugin watches. "" means none.
	PolicyDirectory string
	// MinimumPolicies is how many policies and groups there must be; the configuration is bad if
	// there are fewer. 0 means that there may be none.
	MinimumPolicies int32
	// StateDirectory is the absolute, clean path of the directory for modules from registries and
	// for compiled code. "" means that the plugin does not keep them.
	StateDirectory string
	// BreakGlassFile is the absolute, clean path of a file that puts policies into monitor mode
	// until a time that it states. The plugin watches the path, and the file need not exist. ""
	// means none.
	BreakGlassFile string
	// RequireCompiler makes the start fail on a system that can only interpret modules.
	RequireCompiler bool
	// Compilation says where modules are compiled.
	Compilation Compilation
	// Sources say how modules are fetched.
	Sources Sources
	// Verification says whose signatures modules must have. nil means that modules need no
	// signature.
	Verification *Verification
	// Reload says when and how the plugin applies changes on disk.
	Reload Reload
	// CircuitBreaker says when the plugin stops evaluating a policy that keeps failing.
	CircuitBreaker CircuitBreaker
	// Mutation says how the plugin treats the changes that policies make to objects.
	Mutation Mutation
	// Review says which parts of a request policies get. It applies to all policies.
	Review Review
	// Limits bound what policies may use.
	Limits Limits
	// Exemptions name requests that no policy sees.
	Exemptions Exemptions
	// Capabilities say how host capabilities answer policies that were granted them.
	Capabilities Capabilities
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// BreakGlass is the content of a break-glass file. It puts policies into monitor mode for a while.
type BreakGlass struct {
	metav1.TypeMeta

	// Until is when the policies are enforced again.
	Until metav1.Time
	// Policies are the names of policies and groups, or [EveryPolicy] alone.
	Policies []string
	// Reason says why, for readers of the log.
	Reason string
}

// EveryPolicy stands for all policies in [BreakGlass.Policies].
const EveryPolicy = "*"

// Policy is one module with its settings and the requests that it decides on. Its fields follow the
// spec of a Kubewarden ClusterAdmissionPolicy (policies.kubewarden.io/v1), plus Name and Digest.
type Policy struct {
	// Name identifies the policy: a DNS subdomain, unique in the configuration.
	Name string
	// Namespace restricts the policy to requests in one namespace, like an AdmissionPolicy. ""
	// means no such restriction. Only manifests can set it.
	Namespace string
	// Module is the URI of the wasm module: file:// and an absolute, clean path that
	// is not percent-encoded, registry:// or https:// (http:// where Sources allow it).
	Module string
	// Digest is "sha256:" and 64 lowercase hexadecimal digits. "" means that any module is
	// accepted.
	Digest string
	// Verification adds demands on the module's signatures to those of the configuration. nil adds
	// none.
	Verification *PolicyVerification
	// Settings are passed to the policy unchanged. Raw is a JSON object and, after defaulting,
	// never empty. Object is not used.
	Settings runtime.RawExtension
	// Rules say which requests the policy evaluates. If there are none, they come from the module's
	// metadata.
	Rules []admissionregistrationv1.RuleWithOperations
	// FailurePolicy says what happens to a request if the policy gives no usable answer: Fail (the
	// default) rejects it, Ignore admits it.
	FailurePolicy admissionregistrationv1.FailurePolicyType
	// MatchPolicy says whether rules also match a request for the same resource in another group or
	// version: Equivalent (the default) or Exact.
	MatchPolicy admissionregistrationv1.MatchPolicyType
	// NamespaceSelector restricts the policy to namespaces with matching labels. nil means every
	// namespace.
	NamespaceSelector *metav1.LabelSelector
	// ObjectSelector restricts the policy to objects with matching labels. nil means every object.
	ObjectSelector *metav1.LabelSelector
	// MatchConditions are CEL expressions. The policy evaluates a request only if all of them are
	// true.
	MatchConditions []admissionregistrationv1.MatchCondition
	// TimeoutEvalSeconds bounds the wall-clock time of one evaluation, in seconds. nil means
	// Limits.EvaluationTimeout.
	TimeoutEvalSeconds *int32
	// Message replaces the policy's own message if it rejects a request. "" keeps it.
	Message string
	// Mode says whether the policy's answer takes effect: ModeProtect (the default) or ModeMonitor.
	Mode PolicyMode
	// Mutating lets the policy change objects. Such a policy is evaluated in the mutating phase of
	// admission, and not again in the validating one.
	Mutating bool
	// ReinvocationPolicy says whether a mutating policy is evaluated again after other policies or
	// plugins changed the object: IfNeeded (the default) or Never.
	ReinvocationPolicy admissionregistrationv1.ReinvocationPolicyType
	// Review adds to the fields that the configuration's Review omits.
	Review Review
	// ContextAwareResources are the kinds whose objects the policy may read. An empty list means
	// none.
	ContextAwareResources []ContextAwareResource
	// HostCapabilities are patterns of the host capabilities that the policy may call, in the
	// syntax of package capabilities. An empty list denies every call but tracing.
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

// PolicyGroup combines the verdicts of several policies with an expression. Its fields follow the
// spec of a Kubewarden ClusterAdmissionPolicyGroup (policies.kubewarden.io/v1), plus Name. A field
// that Policy also has means the same here. A group never mutates.
type PolicyGroup struct {
	// Name identifies the group: a DNS subdomain, unique among policies and groups.
	Name string
	// Namespace restricts the group to requests in one namespace, like an AdmissionPolicyGroup. ""
	// means no such restriction. Only manifests can set it.
	Namespace string
	// Expression is a CEL expression that admits the request if it is true. It calls each member as
	// a function without parameters, which returns whether the member accepts. Operators are ==,
	// !=, ||, && and !.
	Expression string
	// Message is the message of a rejection. It is never empty.
	Message string
	// Policies are the members, sorted by name. Their names are unique.
	Policies []PolicyGroupMember

	// Rules are never empty. A group cannot take them from its modules, which may differ.
	Rules             []admissionregistrationv1.RuleWithOperations
	FailurePolicy     admissionregistrationv1.FailurePolicyType
	MatchPolicy       admissionregistrationv1.MatchPolicyType
	NamespaceSelector *metav1.LabelSelector
	ObjectSelector    *metav1.LabelSelector
	MatchConditions   []admissionregistrationv1.MatchCondition
	Mode              PolicyMode
	Review            Review

	PolicyServer                            *string
	SideEffects                             *admissionregistrationv1.SideEffectClass
	TimeoutSeconds                          *int32
	BackgroundAudit                         *bool
	AllowInsideAdmissionControllerNamespace *bool
}

// PolicyGroupMember is a policy in a group. A field that Policy also has means the same here.
type PolicyGroupMember struct {
	// Name is the name of the member in the expression, a CEL identifier.
	Name                  string
	Module                string
	Digest                string
	Verification          *PolicyVerification
	Settings              runtime.RawExtension
	TimeoutEvalSeconds    *int32
	ContextAwareResources []ContextAwareResource
	HostCapabilities      []string
}

// Sources say how modules are fetched from registries and servers.
type Sources struct {
	// Insecure are hosts (host or host:port) that may be reached without TLS, or with a certificate
	// that no authority vouches for.
	Insecure []string
	// Authorities are the certificate authorities of hosts, in addition to those of the system.
	Authorities []SourceAuthority
	// Mirrors replace prefixes of URIs. The longest prefix that matches wins.
	Mirrors []Mirror
	// DockerConfig is the absolute, clean path of a Docker config.json with credentials, which the
	// plugin watches. "" means that the plugin fetches everything anonymously.
	DockerConfig string
	// Layout is the absolute, clean path of an OCI image layout, a directory or a tar. Modules come
	// from it instead of from registries and servers. The plugin watches it. "" means none.
	Layout string
	// Timeout bounds fetching one module, retries included. Default: 1 minute.
	Timeout metav1.Duration
}

// SourceAuthority names the certificate authorities to trust for a host.
type SourceAuthority struct {
	// Host is host or host:port.
	Host string
	// Files are absolute, clean paths of certificates in PEM.
	Files []string
}

// Mirror replaces a prefix of URIs, so that modules are fetched from somewhere else.
type Mirror struct {
	// Prefix is the beginning of a URI, such as registry://ghcr.io/kubewarden/.
	Prefix string
	// Replacement replaces the prefix, such as registry://mirror.example.com/kubewarden/.
	Replacement string
}

// Verification says whose signatures modules must have.
type Verification struct {
	// Required demands the config for the modules of all policies, not only of those that require
	// it themselves. Default: true.
	Required bool
	// Config is a Kubewarden verification config, in JSON. Raw is empty if there is none. Object is
	// not used.
	Config runtime.RawExtension
	// File is the absolute, clean path of such a config in YAML, to use instead of Config. "" means
	// none.
	File string
	// TrustRoot is the trust root that verifies the certificates of identities.
	TrustRoot TrustRoot
}

// TrustRoot says where the Sigstore trust root comes from. At most one field is set. Without a
// trust root the plugin can verify keys, but no identity.
type TrustRoot struct {
	// File is the absolute, clean path of a trusted_root.json, or of a ClientTrustConfig.
	File string
	// PublicGood uses the trust root of the public Sigstore and keeps it up to date.
	PublicGood bool
}

// PolicyVerification says which signatures one policy's module must have, in addition to those that
// the configuration demands of all modules.
type PolicyVerification struct {
	// Required demands the config of the whole configuration. nil means what Verification.Required
	// says.
	Required *bool
	// Config is demanded in any case. Raw is empty if there is none. Object is not used.
	Config runtime.RawExtension
}

// Reload says when and how the plugin applies changes of the policy directory, of modules and of
// credentials.
type Reload struct {
	// Interval is how often the plugin looks for changes, even if the system reports none. Default:
	// 1 minute.
	Interval metav1.Duration
	// LoadTimeout bounds one attempt to load all policies, at the start and after a change.
	// Default: 2 minutes.
	LoadTimeout metav1.Duration
	// KeepLastGood keeps the last set that was served in the state directory. After a restart, the
	// plugin serves that set if the configured one fails to load or takes longer than LoadTimeout.
	// Default: false; the start fails instead.
	KeepLastGood bool
}

// Compilation says where modules are compiled, and with which resources.
type Compilation struct {
	// Mode is the process that compiles: CompilationChildProcesses (the default) or
	// CompilationInProcess.
	Mode CompilationMode
	// Memory is how much the child processes may use together, in bytes.
	Memory int64
	// Workers is how many child processes compile at a time. 0 means one for each processor.
	Workers int32
	// Timeout bounds the wall-clock time of loading one module.
	Timeout metav1.Duration
}

// CompilationMode is the kind of process that compiles modules.
type CompilationMode string

const (
	// CompilationChildProcesses compiles modules in processes with limits.
	CompilationChildProcesses CompilationMode = "ChildProcesses"
	// CompilationInProcess compiles modules in the apiserver itself.
	CompilationInProcess CompilationMode = "InProcess"
)

// CircuitBreaker says when the plugin stops evaluating a policy that keeps failing. While the
// breaker is open, the failure policy answers at once, and now and then one evaluation probes
// whether the policy has recovered.
type CircuitBreaker struct {
	// Failures is how many consecutive evaluations must fail to open the breaker. Default: 10. 0
	// disables the breaker.
	Failures int32
	// ProbeInterval is how often an open breaker lets one evaluation through. Default: 10s.
	ProbeInterval metav1.Duration
}

// Mutation says how the plugin treats the changes that policies make to objects.
type Mutation struct {
	// UnknownFields says what happens if a policy adds a field that the object's kind does not
	// have. "Error": the policy has failed. "Warn": the plugin drops the field and warns the
	// client. It does not check custom resources, nor policies in monitor mode. Default: Error.
	UnknownFields UnknownFields
}

// Review says which parts of a request policies get.
type Review struct {
	// Omit are fields to leave out of the object and the old object, each named once.
	Omit []OmittedField
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
	// APIVersion is the group and version, such as apps/v1.
	APIVersion string
	// Kind is the kind in that version, such as Deployment.
	Kind string
}

// Limits bound what policies may use. Sizes are in bytes.
type Limits struct {
	// ModuleSize is the size of the largest module file that the plugin reads. Default: 128 MiB.
	ModuleSize int64
	// Memory is the linear memory that one instance may have, a multiple of the 64 KiB page.
	// Default: 128 MiB.
	Memory int64
	// RequestSize is the size of the largest request that a policy gets. Default: 8 MiB.
	RequestSize int64
	// ResponseSize is the size of the largest answer that a policy may give. Default: 8 MiB.
	ResponseSize int64
	// HostCallPayloadSize is the largest payload of one host call, in either direction.
	// Default: 4 MiB.
	HostCallPayloadSize int64
	// LogLineSize is the length to which the plugin cuts a line that a policy logs. Default: 4 KiB.
	LogLineSize int64
	// HostCalls is the number of host calls that one evaluation may make. Default: 1000.
	HostCalls int32
	// GuestLogLinesPerSecond is the number of lines that one policy may log in a second.
	// Default: 100.
	GuestLogLinesPerSecond int32
	// EvaluationTimeout is the wall-clock time that one evaluation of one policy may take. Default:
	// 2s.
	EvaluationTimeout metav1.Duration
	// RequestTimeout is the wall-clock time that all policies together may take for one request in
	// one phase of admission. Default: 10s.
	RequestTimeout metav1.Duration
	// Fuel is what one evaluation may burn. An instruction burns one to two and a half units.
	// Default: 20,000,000,000.
	Fuel int64
	// Stack is what the nested calls of one evaluation may take, by an estimate. Default: 6 MiB.
	Stack int64
	// TableEntries is the total size that the tables of one module may have. Default: 131,072.
	TableEntries int32
	// CompilationTime is the processor time that compiling one module may take, by an estimate.
	// Default: 5m.
	CompilationTime metav1.Duration
	// CompilationMemory is the memory that compiling one module may take, by an estimate. Default:
	// 4 GiB.
	CompilationMemory int64
	// TotalMemory is what the linear memories, their images and the compiled code of all modules
	// may take together. Default: 2 GiB.
	TotalMemory int64
	// ModuleEvaluations is how many evaluations of one module may run at the same time. 0 means
	// twice the number of processors, at least 4. Default: 0.
	ModuleEvaluations int32
	// ModuleWaiters is how many evaluations may wait for one module. Default: 1000.
	ModuleWaiters int32
	// PolicyEvaluations is how many requests one policy may hold at the same time, including those
	// that wait. Default: 500.
	PolicyEvaluations int32
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

// Capabilities configure the host capabilities that policies may be granted.
type Capabilities struct {
	// Kubernetes configures how policies read the cluster.
	Kubernetes KubernetesCapability
	// DNS configures how policies look up hosts.
	DNS DNSCapability
	// OCI configures how policies ask registries about images.
	OCI OCICapability
}

// OCICapability says which registries policies may ask about images, and with which bounds.
type OCICapability struct {
	// Registries are host, host:port, "*.domain" or "*". Default: none, which allows no registry.
	Registries []string
	// Redirects are further hosts that registries may redirect to, in the same form. Default: none.
	Redirects []string
	// DeniedRanges are CIDRs of public addresses that the plugin does not connect to, unless the
	// host is listed with its port. Default: none.
	DeniedRanges []string
	// CacheEntries is how many answers the cache keeps. Default: 4096.
	CacheEntries int32
	// CacheSize is the total size of the cached answers, in bytes. Default: 16 MiB.
	CacheSize int64
	// CacheTTL is how long the cache returns an answer. Default: 1m.
	CacheTTL metav1.Duration
	// FailureTTL is how long the cache returns a failure. Default: 5s.
	FailureTTL metav1.Duration
	// StaleTTL is how much longer the cache returns the last good answer while the registry does
	// not respond. Default: 0, no longer.
	StaleTTL metav1.Duration
	// LookTimeout bounds one look at a registry. Default: 10s.
	LookTimeout metav1.Duration
	// PolicyLooks is how many looks of one policy may run at the same time. Default: 16.
	PolicyLooks int32
	// RegistryLooks is how many looks at one registry may run at the same time. Default: 8.
	RegistryLooks int32
}

// KubernetesCapability says as which user policies read the cluster, and with which bounds.
type KubernetesCapability struct {
	// User is the user name under which the apiserver authorizes every read. Default:
	// system:wasm-admission.
	User string
	// Groups are the groups of the user. Default: none.
	Groups []string
	// SecretReaders are the names of the policies that may read Secrets, if their
	// ContextAwareResources list Secrets too. A member of a group is <group>/<member>. Default:
	// none.
	SecretReaders []string
	// MemorySize bounds what the plugin caches of the cluster, in bytes. Default: 256 MiB.
	MemorySize int64
	// IdleTimeout is how long the plugin caches a kind that no policy uses. Default: 10m.
	IdleTimeout metav1.Duration
	// GetResource is the cache of the objects that policies get one by one.
	GetResource AnswerCache
	// CanI is the cache of the answers to whether a user may do something.
	CanI AnswerCache
}

// AnswerCache bounds the cache of the answers to one host capability, for all policies together. It
// evicts the least recently used answers.
type AnswerCache struct {
	// CacheEntries is how many answers the cache keeps. Default: 4096.
	CacheEntries int32
	// CacheSize is the total size of the cached answers and their questions, in bytes. Default: 16
	// MiB.
	CacheSize int64
	// CacheTTL is how long the cache keeps an answer. Default: 5s.
	CacheTTL metav1.Duration
}

// DNSCapability configures how policies look up hosts.
type DNSCapability struct {
	// CacheEntries is how many hosts' addresses the cache keeps. Default: 1000.
	CacheEntries int32
	// CacheTTL is how long the cache keeps an address. Default: 30s.
	CacheTTL metav1.Duration
}
