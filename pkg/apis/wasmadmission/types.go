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

	// Policies are the policies to serve, in any order. No policy or group has the name
	// of another.
	Policies []Policy
	// PolicyGroups are groups of policies that decide together, in any order.
	PolicyGroups []PolicyGroup
	// PolicyDirectory is the absolute, clean path of a directory of Kubewarden's policy
	// manifests, which is watched; "" means none.
	PolicyDirectory string
	// MinimumPolicies is how many policies and groups there have to be; fewer are a bad
	// configuration. 0 means that there may be none.
	MinimumPolicies int32
	// StateDirectory is the absolute, clean path below which modules from registries
	// and compiled code are kept; "" means that they are not kept.
	StateDirectory string
	// BreakGlassFile is the absolute, clean path of a file that puts policies into
	// monitor mode until a time that it states; "" means none. It is watched, and need
	// not exist.
	BreakGlassFile string
	// RequireCompiler refuses a start where modules could only be interpreted.
	RequireCompiler bool
	// Compilation says where modules are compiled.
	Compilation Compilation
	// Sources say how modules are fetched.
	Sources Sources
	// Verification says whose signatures modules must have; nil demands none.
	Verification *Verification
	// Reload says how changes on disk are taken over.
	Reload Reload
	// CircuitBreaker says what is done with a policy that keeps failing.
	CircuitBreaker CircuitBreaker
	// Mutation says what is done with what policies make of objects.
	Mutation Mutation
	// Review says what all policies are given of a request.
	Review Review
	// Limits bound what policies may use.
	Limits Limits
	// Exemptions name requests that no policy sees.
	Exemptions Exemptions
	// Capabilities say how host capabilities answer policies that were granted them.
	Capabilities Capabilities
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// BreakGlass is the order of a break-glass file: policies are in monitor mode for a while.
type BreakGlass struct {
	metav1.TypeMeta

	// Until is when it ends.
	Until metav1.Time
	// Policies are the names of policies and groups, or [EveryPolicy] alone.
	Policies []string
	// Reason says why, for those who read the log.
	Reason string
}

// EveryPolicy stands for all policies in [BreakGlass.Policies].
const EveryPolicy = "*"

// Policy is one module with its settings and the requests that it is asked about.
// Its fields follow the spec of a Kubewarden ClusterAdmissionPolicy
// (policies.kubewarden.io/v1), plus Name and Digest.
type Policy struct {
	// Name identifies the policy: a DNS subdomain, unique in the configuration.
	Name string
	// Namespace restricts the policy to requests in one namespace, as an AdmissionPolicy
	// is; "" means that there is no such restriction. Only manifests can set it.
	Namespace string
	// Module is the URI of the wasm module: file:// and an absolute, clean path that
	// is not percent-encoded, registry:// or https:// (http:// where Sources allow it).
	Module string
	// Digest is "sha256:" and 64 lower-case hexadecimal digits; "" means that the
	// module is not compared with a digest.
	Digest string
	// Verification says what is demanded of the module's signatures beside what is of all;
	// nil is nothing.
	Verification *PolicyVerification
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
	// Mode says what is done with an answer: ModeProtect (the default) or ModeMonitor.
	Mode PolicyMode
	// Mutating lets the policy change objects: it is then evaluated in the mutating
	// phase of admission, and not again in the validating one.
	Mutating bool
	// ReinvocationPolicy says whether a mutating policy is evaluated again after others
	// changed the object: IfNeeded (the default) or Never.
	ReinvocationPolicy admissionregistrationv1.ReinvocationPolicyType
	// Review says what the policy is given of a request, beside what is said for all.
	Review Review
	// ContextAwareResources are the kinds of which the policy may read objects.
	// None lets it read nothing.
	ContextAwareResources []ContextAwareResource
	// HostCapabilities are patterns of the host capabilities that the policy may call,
	// in the syntax of package capabilities; none denies every call but tracing.
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

// PolicyGroup is several policies whose verdicts are combined by an expression. Its
// fields follow the spec of a Kubewarden ClusterAdmissionPolicyGroup
// (policies.kubewarden.io/v1), plus Name. Fields that a Policy has too mean the same. A
// group never mutates.
type PolicyGroup struct {
	// Name identifies the group: a DNS subdomain, unique among policies and groups.
	Name string
	// Namespace restricts the group to requests in one namespace, as an
	// AdmissionPolicyGroup is; "" means that there is no such restriction. Only manifests
	// can set it.
	Namespace string
	// Expression is a CEL expression over the members, each a function without
	// parameters that returns whether the member accepts. Operators are ==, !=, ||, &&
	// and !. The request is admitted if it is true.
	Expression string
	// Message is what a rejection says. Never empty.
	Message string
	// Policies are the members, in the order of their names, which are unique.
	Policies []PolicyGroupMember

	// Rules are never empty: those of several modules would have to be combined.
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

// PolicyGroupMember is a policy in a group. Fields that a Policy has too mean the same.
type PolicyGroupMember struct {
	// Name is what the expression calls the member by: an identifier of CEL.
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
	// Insecure are hosts (host or host:port) that may be asked without TLS, or with a
	// certificate that nobody vouches for.
	Insecure []string
	// Authorities are the certificate authorities of hosts, beside those of the system.
	Authorities []SourceAuthority
	// Mirrors replace prefixes of URIs, the longest that fits.
	Mirrors []Mirror
	// DockerConfig is the absolute, clean path of a config.json of Docker with
	// credentials; "" means that everything is fetched anonymously. It is watched.
	DockerConfig string
	// Layout is the absolute, clean path of an OCI image layout, a directory or a tar, that
	// modules of registries and servers come from instead; "" means that there is none. It is
	// watched.
	Layout string
	// Timeout bounds fetching one module, retries included. Default: 1 minute.
	Timeout metav1.Duration
}

// SourceAuthority says which certificate authorities a host is trusted by.
type SourceAuthority struct {
	// Host is host or host:port.
	Host string
	// Files are absolute, clean paths of certificates in PEM.
	Files []string
}

// Mirror is where modules are fetched from instead.
type Mirror struct {
	// Prefix is what a URI begins with, such as registry://ghcr.io/kubewarden/.
	Prefix string
	// Replacement takes its place, such as registry://mirror.example.com/kubewarden/.
	Replacement string
}

// Verification says whose signatures modules must have.
type Verification struct {
	// Required demands the config of the modules of all policies, and not only of those
	// that require it themselves. Default: true.
	Required bool
	// Config is Kubewarden's verification config, in JSON. Raw is empty if there is none;
	// Object is not used.
	Config runtime.RawExtension
	// File is the absolute, clean path of such a config in YAML, instead of Config; ""
	// means none.
	File string
	// TrustRoot is what certificates of identities are verified against.
	TrustRoot TrustRoot
}

// TrustRoot says where the trust root of a Sigstore comes from. At most one field is set;
// without any no identity can be verified, and keys still can.
type TrustRoot struct {
	// File is the absolute, clean path of a trusted_root.json, or of a ClientTrustConfig.
	File string
	// PublicGood takes that of the public Sigstore, which is kept up to date.
	PublicGood bool
}

// PolicyVerification says what is demanded of one policy's module. It can only add to
// what is demanded of all.
type PolicyVerification struct {
	// Required demands the config of the whole configuration; nil leaves that to it.
	Required *bool
	// Config is demanded in any case. Raw is empty if there is none; Object is not used.
	Config runtime.RawExtension
}

// Reload says how changes of the policy directory, of modules and of credentials are
// taken over.
type Reload struct {
	// Interval is how often they are looked at even when the system reports no change.
	// Default: 1 minute.
	Interval metav1.Duration
	// LoadTimeout bounds one try to load all policies, at the start and after a change.
	// Default: 2 minutes.
	LoadTimeout metav1.Duration
	// KeepLastGood says that the set that was served last is kept in the state
	// directory and served after a restart if the configured one cannot be loaded, or
	// not within LoadTimeout.
	// Default: false, such a start is refused.
	KeepLastGood bool
}

// Compilation says where modules are compiled, and with what.
type Compilation struct {
	// Mode is in which process: CompilationChildProcesses (the default) or
	// CompilationInProcess.
	Mode CompilationMode
	// Memory is what the child processes may take together, in bytes.
	Memory int64
	// Workers is how many child processes compile at a time; 0 means one for each
	// processor.
	Workers int32
	// Timeout is the wall-clock time in which a module has to be loaded.
	Timeout metav1.Duration
}

// CompilationMode says in which process modules are compiled.
type CompilationMode string

const (
	// CompilationChildProcesses has them compiled in processes with limits.
	CompilationChildProcesses CompilationMode = "ChildProcesses"
	// CompilationInProcess has them compiled in the apiserver itself.
	CompilationInProcess CompilationMode = "InProcess"
)

// CircuitBreaker says what is done with a policy that keeps failing: it is answered by
// its failure policy at once, and evaluated now and then to see whether it has recovered.
type CircuitBreaker struct {
	// Failures is how many evaluations in a row have to fail. Default: 10. Zero
	// switches the breaker off.
	Failures int32
	// ProbeInterval is how often an open breaker lets one evaluation through.
	// Default: 10s.
	ProbeInterval metav1.Duration
}

// Mutation says what is done with what policies make of objects.
type Mutation struct {
	// UnknownFields says what becomes of an object in which a policy has a field that the
	// object's kind does not: "Error", the policy has failed, or "Warn", the field is
	// dropped and whoever sent the request is warned. Custom resources are not checked,
	// nor policies in monitor mode. Default: Error.
	UnknownFields UnknownFields
}

// Review says what policies are given of a request.
type Review struct {
	// Omit are fields that are left out of the object and the old object, each once.
	Omit []OmittedField
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
	// RequestTimeout is the wall-clock time that all policies together may take for one
	// request in one phase of admission. Default: 10s.
	RequestTimeout metav1.Duration
	// Fuel is what one evaluation may burn, one to two and a half units for each instruction.
	// Default: 20,000,000,000.
	Fuel int64
	// Stack is what nested calls of one evaluation may take, as estimated. Default: 6 MiB.
	Stack int64
	// TableEntries is the size that the tables of one module may have, all together.
	// Default: 131,072.
	TableEntries int32
	// CompilationTime is the processor time that compiling one module may take, as
	// estimated. Default: 5m.
	CompilationTime metav1.Duration
	// CompilationMemory is the memory that compiling one module may take, as
	// estimated. Default: 4 GiB.
	CompilationMemory int64
	// TotalMemory is what the linear memories, their images and the compiled code of
	// all modules may take together. Default: 2 GiB.
	TotalMemory int64
	// ModuleEvaluations is how many evaluations of one module may run at the same time;
	// zero means twice the number of processors and at least 4. Default: 0.
	ModuleEvaluations int32
	// ModuleWaiters is how many evaluations may wait for one module. Default: 1000.
	ModuleWaiters int32
	// PolicyEvaluations is how many requests one policy may be busy with at the same
	// time, waiting ones included. Default: 500.
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

// Capabilities say how host capabilities answer policies that were granted them.
type Capabilities struct {
	// Kubernetes is how policies look at the cluster.
	Kubernetes KubernetesCapability
	// DNS is how policies look up hosts.
	DNS DNSCapability
	// OCI is how policies look at images in registries.
	OCI OCICapability
}

// OCICapability says which registries policies may ask about images, and what that may take.
type OCICapability struct {
	// Registries are host, host:port, "*.domain" or "*". Default: none, which allows nothing.
	Registries []string
	// Redirects are further hosts, in the same form, that registries may lead to. Default: none.
	Redirects []string
	// DeniedRanges are CIDRs of addresses on the internet that are not connected to, unless
	// the host is named with its port. Default: none.
	DeniedRanges []string
	// CacheEntries is how many answers are kept. Default: 4096.
	CacheEntries int32
	// CacheSize is how large they may be together, in bytes. Default: 16 MiB.
	CacheSize int64
	// CacheTTL is how long an answer is given again. Default: 1m.
	CacheTTL metav1.Duration
	// FailureTTL is how long a failure is told again. Default: 5s.
	FailureTTL metav1.Duration
	// StaleTTL is how much longer the last good answer is given if the registry does not
	// answer. Default: 0, not at all.
	StaleTTL metav1.Duration
	// LookTimeout bounds one look at a registry. Default: 10s.
	LookTimeout metav1.Duration
	// PolicyLooks is how many looks of one policy are under way at the same time. Default: 16.
	PolicyLooks int32
	// RegistryLooks is how many looks at one registry are. Default: 8.
	RegistryLooks int32
}

// KubernetesCapability says as whom, and with what, policies look at the cluster.
type KubernetesCapability struct {
	// User is the name of the user as whom every look is authorised. Default:
	// system:wasm-admission.
	User string
	// Groups are the groups that the user is in. Default: none.
	Groups []string
	// SecretReaders are the names of the policies that may read Secrets, if their
	// ContextAwareResources name the kind too; a member of a group is <group>/<member>.
	// Default: none.
	SecretReaders []string
	// MemorySize bounds what is held of the cluster. Default: 256 MiB.
	MemorySize int64
	// IdleTimeout is how long a kind is held that no policy uses. Default: 10m.
	IdleTimeout metav1.Duration
	// GetResource is what is kept of the objects that policies get one by one.
	GetResource AnswerCache
	// CanI is what is kept of the answers to whether somebody may do something.
	CanI AnswerCache
}

// AnswerCache bounds what is kept of the answers to one host capability, all policies
// together. Those that were used last are kept.
type AnswerCache struct {
	// CacheEntries is how many answers are kept. Default: 4096.
	CacheEntries int32
	// CacheSize is how large they may be together, questions included, in bytes.
	// Default: 16 MiB.
	CacheSize int64
	// CacheTTL is how long they are kept. Default: 5s.
	CacheTTL metav1.Duration
}

// DNSCapability says how policies look up hosts.
type DNSCapability struct {
	// CacheEntries is how many hosts' addresses are kept. Default: 1000.
	CacheEntries int32
	// CacheTTL is how long they are kept. Default: 30s.
	CacheTTL metav1.Duration
}
