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

package policyset

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wasi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/breaker"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/stray"
)

// Loader loads sets of policies. It is safe for concurrent use.
type Loader struct {
	// Engine compiles and runs the modules. Required.
	Engine *engine.Engine
	// Fetcher fetches the modules. nil means that modules can only be read from files, within the
	// configuration's limits.
	Fetcher Fetcher
	// Guests load policies of further execution modes. The loader itself knows the modes that need
	// no other library.
	Guests map[abi.ExecutionMode]GuestLoader
	// Capabilities are the host capabilities that policies may be granted. Default: none.
	Capabilities Capabilities
	// Metadata reads the metadata of a module. nil means [abi.ReadMetadata], which returns an error
	// if there is none. The policies of a set with the same module share the result.
	Metadata func(wasm []byte) (*abi.Metadata, error)
	// Adjust may change a policy's environment before the policy runs, for example to answer its
	// host calls. nil changes nothing. It is for tools, and must be safe for concurrent use.
	Adjust func(spec *wasmadmission.Policy, env *abi.Environment)

	// Warn receives the warnings about policies that are loaded. nil logs them. It must be safe for
	// concurrent use.
	Warn func(Warning)
	// Recorder records what keeps policies from being evaluated. nil discards everything.
	Recorder Recorder
	// Clock is the clock of circuit breakers. nil means the system clock.
	Clock clock.PassiveClock

	// CarryOver returns the policy of an open set that the spec would create again, so that the new
	// set can share it, or nil if there is none. It is for replacing a set.
	CarryOver func(*wasmadmission.Policy) *Policy
	// Strays counts and bounds loads that were given up and still run. nil sets no bound.
	Strays *stray.Calls
}

// Fetcher fetches modules, as [module.Fetcher] does. Implementations must be safe for concurrent
// use.
type Fetcher interface {
	Get(ctx context.Context, request module.Request) (*module.Module, error)
}

// GuestLoader compiles a policy of one execution mode. Implementations must be safe for concurrent
// use.
type GuestLoader func(ctx context.Context, e *engine.Engine, wasm []byte) (abi.Guest, error)

// loadGuest compiles a policy of any execution mode.
func (l *Loader) loadGuest(ctx context.Context, mode abi.ExecutionMode,
	wasm []byte) (abi.Guest, error) {
	switch mode {
	case abi.ExecutionModeWaPC:
		return wapc.Load(ctx, l.Engine, wasm)
	case abi.ExecutionModeWASI:
		return wasi.Load(ctx, l.Engine, wasm)
	}
	if load := l.Guests[mode]; load != nil {
		return load(ctx, l.Engine, wasm)
	}
	return nil, fmt.Errorf(
		"the policy's execution mode is %q, which this server was built without", mode)
}

// concurrentFetches is how many modules are fetched at a time. A fetch from a registry that does
// not respond takes some seconds, and every fetched module takes memory.
const concurrentFetches = 8

// Load loads a set from a validated configuration. It fetches all modules, compiles as many at a
// time as there are processors, and asks each policy to check its settings. It finds all problems
// before it returns, and each names its policy and field. If there are problems, the set is nil and
// everything is freed.
//
// Load returns soon after ctx ends, with the context's cause as the problem of each policy that is
// not loaded. A load that does not end then continues without effect, and frees what it created.
func (l *Loader) Load(ctx context.Context,
	config *wasmadmission.WasmAdmissionConfiguration) (*Set, field.ErrorList) {
	wanted := wantedPolicies(config)
	loaded := make([]*Policy, len(wanted))
	problems := make([]field.ErrorList, len(wanted))
	var group errgroup.Group
	group.SetLimit(max(concurrentFetches, runtime.GOMAXPROCS(0)))
	a := &attempt{config: config, processors: make(chan struct{}, runtime.GOMAXPROCS(0))}
	for n := range wanted {
		group.Go(func() error {
			loaded[n], problems[n] = l.loadWithin(ctx, a, &wanted[n])
			return nil
		})
	}
	_ = group.Wait() // the functions return no errors

	errs := slices.Concat(problems...)
	policies, members := loaded[:len(config.Policies)], loaded[len(config.Policies):]
	for n := range config.PolicyGroups {
		spec := &config.PolicyGroups[n]
		p, problems := l.loadGroup(ctx, config, spec, members[:len(spec.Policies)],
			validation.PolicyGroupPath(n, spec.Name))
		policies, errs = append(policies[:len(policies):len(policies)], p),
			append(errs, problems...)
		members = members[len(spec.Policies):]
	}
	set := &Set{policies: slices.DeleteFunc(policies, func(p *Policy) bool { return p == nil })}
	if len(errs) > 0 {
		set.Close()
		return nil, errs
	}
	slices.SortFunc(set.policies, func(a, b *Policy) int { return cmp.Compare(a.Name(), b.Name()) })
	return set, nil
}

// attempt is the state that the policies of one call of [Loader.Load] share.
type attempt struct {
	config *wasmadmission.WasmAdmissionConfiguration
	// processors has an element for each policy that is being built.
	processors chan struct{}
	// metadata maps the digest of each module to a func() (*abi.Metadata, error).
	metadata sync.Map
}

// wanted is a policy to load, either on its own or as the member of a group.
type wanted struct {
	spec   *wasmadmission.Policy
	path   *field.Path
	member bool
}

// wantedPolicies returns the policies of a configuration, followed by the members of its groups.
func wantedPolicies(config *wasmadmission.WasmAdmissionConfiguration) (all []wanted) {
	for n := range config.Policies {
		spec := &config.Policies[n]
		all = append(all, wanted{spec: spec, path: validation.PolicyPath(n, spec.Name)})
	}
	for n := range config.PolicyGroups {
		group := &config.PolicyGroups[n]
		for m := range group.Policies {
			spec := memberSpec(group, &group.Policies[m])
			path := validation.PolicyGroupPath(n, group.Name).Child("policies").
				Key(group.Policies[m].Name)
			all = append(all, wanted{spec: spec, path: path, member: true})
		}
	}
	return all
}

// loadWithin loads a policy until ctx ends, or takes it over from the previous set.
func (l *Loader) loadWithin(ctx context.Context, a *attempt, w *wanted) (*Policy, field.ErrorList) {
	if l.CarryOver != nil {
		if p := l.CarryOver(w.spec); p != nil {
			return p.join(), nil
		}
	}
	type result struct {
		policy   *Policy
		problems field.ErrorList
	}
	r, err := stray.Within(ctx, l.Strays, fmt.Sprintf("loading policy %q", w.spec.Name),
		func() (r result, _ error) {
			defer func() {
				if p := recover(); p != nil {
					r = result{
						problems: field.ErrorList{
							field.InternalError(w.path,
								fmt.Errorf("panic while the policy was loaded: %v", p)),
						},
					}
				}
			}()
			r.policy, r.problems = l.load(ctx, a, w)
			return r, nil
		}, func(r result) {
			if r.policy != nil {
				r.policy.leave()
			}
		})
	if len(r.problems) > 0 && ctx.Err() != nil {
		// The problems of an interrupted load do not say why it was interrupted.
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, field.ErrorList{
			field.Invalid(w.path.Child("module"), module.Redact(w.spec.Module), err.Error()),
		}
	}
	return r.policy, r.problems
}

// load fetches a policy's module, waits for a processor, and builds the policy.
func (l *Loader) load(ctx context.Context, a *attempt, w *wanted) (*Policy, field.ErrorList) {
	fetcher := cmp.Or[Fetcher](l.Fetcher, &module.Fetcher{MaxBytes: a.config.Limits.ModuleSize})
	fetched, err := fetcher.Get(ctx,
		ModuleRequest(w.spec.Module, w.spec.Digest, w.spec.Verification))
	if err != nil {
		return nil, field.ErrorList{fetchProblem(w.path, w.spec, err)}
	}
	select {
	case a.processors <- struct{}{}:
		defer func() { <-a.processors }()
	case <-ctx.Done():
		return nil, field.ErrorList{
			field.Invalid(w.path.Child("module"), module.Redact(w.spec.Module),
				context.Cause(ctx).Error()),
		}
	}
	return l.build(ctx, a, w, fetched)
}

// build compiles the module of a policy, and asks the policy to check its settings.
func (l *Loader) build(ctx context.Context, a *attempt, w *wanted,
	fetched *module.Module) (*Policy, field.ErrorList) {
	config, spec, path := a.config, w.spec, w.path
	p := &Policy{
		configured:   spec,
		spec:         *spec,
		settingsHash: hash(spec.Settings.Raw),
		digest:       fetched.Digest,
	}
	metadata, err := l.metadata(a, fetched)
	if err != nil {
		return nil, moduleProblems(path, spec, err)
	}
	if !w.member {
		if errs := l.takeRules(ctx, p, metadata, path.Child("rules")); len(errs) > 0 {
			return nil, errs
		}
	}
	env, err := l.environment(spec, config)
	if err != nil {
		return nil, field.ErrorList{
			field.Invalid(path.Child("hostCapabilities"), spec.HostCapabilities, err.Error()),
		}
	}
	if l.Adjust != nil {
		l.Adjust(spec, env)
	}
	p.omits = omitted(config, spec)
	g := &guest{env: env, settings: spec.Settings.Raw, omits: p.omits}
	if g.module, err = l.loadGuest(ctx, metadata.ExecutionMode, fetched.Bytes); err != nil {
		return nil, field.ErrorList{
			field.Invalid(path.Child("module"), module.Redact(spec.Module), err.Error()),
		}
	}
	if errs := g.checkSettings(ctx, path.Child("settings")); len(errs) > 0 {
		g.close()
		return nil, errs
	}
	p.evaluator = l.guard(config, p, g, w.member)
	klog.FromContext(ctx).Info("Loaded policy", "policy", p.Name(), "module", spec.Module,
		"moduleDigest", p.digest, "settingsHash", p.SettingsHash(), "rules", len(p.spec.Rules))
	for _, warning := range p.warnings(metadata, config) {
		warning.Tell(ctx, l.Warn)
	}
	return p.join(), nil
}

// metadata returns the metadata of a module. It reads each module only once for all policies that
// use it, because reading takes as long as the rest of loading if the module is already compiled.
// The caller must not change the result.
func (l *Loader) metadata(a *attempt, fetched *module.Module) (*abi.Metadata, error) {
	read, known := a.metadata.Load(fetched.Digest)
	if !known {
		read, _ = a.metadata.LoadOrStore(fetched.Digest,
			sync.OnceValues(func() (*abi.Metadata, error) {
				if l.Metadata != nil {
					return l.Metadata(fetched.Bytes)
				}
				return abi.ReadMetadata(fetched.Bytes)
			}))
	}
	return read.(func() (*abi.Metadata, error))() //nolint:forcetypeassert // nothing else is in it
}

// guard wraps a policy's evaluator with the limits that apply to all policies. Members of a group
// have no limit of their own on concurrent evaluations, because the group has one.
func (l *Loader) guard(config *wasmadmission.WasmAdmissionConfiguration, p *Policy, e evaluator,
	member bool) evaluator {
	g := &guarded{evaluator: e, policy: p.Name(), digest: p.digest, recorder: l.Recorder}
	if g.recorder == nil {
		g.recorder = discard{}
	}
	g.recorder.PolicyLoaded(g.policy)
	if !member {
		g.limit = int64(config.Limits.PolicyEvaluations)
	}
	if config.CircuitBreaker.Failures > 0 {
		g.breaker = breaker.New(breaker.Options{
			Failures:      int(config.CircuitBreaker.Failures),
			ProbeInterval: config.CircuitBreaker.ProbeInterval.Duration,
			Clock:         l.Clock,
			Notify:        g.notify,
		})
		g.recorder.AddOpenBreakers(g.policy, 0)
	}
	return g
}

// takeRules takes the rules from the metadata if the configuration has none.
func (l *Loader) takeRules(ctx context.Context, p *Policy, metadata *abi.Metadata,
	path *field.Path) field.ErrorList {
	if len(p.spec.Rules) > 0 {
		return nil
	}
	for _, r := range metadata.Rules {
		rule := admissionregistrationv1.RuleWithOperations{Rule: admissionregistrationv1.Rule{
			APIGroups: slices.Clone(r.APIGroups), APIVersions: slices.Clone(r.APIVersions),
			Resources: slices.Clone(r.Resources),
		}}
		for _, operation := range r.Operations {
			rule.Operations = append(rule.Operations,
				admissionregistrationv1.OperationType(operation))
		}
		p.spec.Rules = append(p.spec.Rules, rule)
	}
	if len(p.spec.Rules) == 0 {
		return field.ErrorList{
			field.Required(path,
				"the module's metadata suggests none either: say which requests the policy is for"),
		}
	}
	if errs := validation.ValidateRules(p.spec.Rules, path); len(errs) > 0 {
		return append(errs,
			field.Invalid(path, field.OmitValueType{},
				"these rules come from the module's metadata: set rules to replace them"))
	}
	for _, warning := range validation.WarningsForRules(p.spec.Rules, p.spec.FailurePolicy, path) {
		Warning{Text: warning}.Tell(ctx, l.Warn)
	}
	return nil
}

func (g *guest) validateSettings(ctx context.Context) error {
	if errs := g.checkSettings(ctx, field.NewPath("settings")); len(errs) > 0 {
		return errs.ToAggregate()
	}
	return nil
}

// SettingsRefused is the beginning of an error in which a policy rejects its settings. The policy's
// message follows.
const SettingsRefused = "the policy refuses these settings: "

// checkSettings asks the policy whether its settings are valid. No error contains the settings,
// which may be secret.
func (g *guest) checkSettings(ctx context.Context, path *field.Path) field.ErrorList {
	response, err := g.module.ValidateSettings(ctx, g.env, g.settings)
	switch {
	case err != nil:
		return field.ErrorList{
			field.Invalid(path, field.OmitValueType{},
				fmt.Sprintf("asking the policy about its settings: %v", err)),
		}
	case response.Valid:
		return nil
	case response.Message == "":
		return field.ErrorList{
			field.Invalid(path, field.OmitValueType{},
				"the policy refuses these settings without saying why"),
		}
	default:
		return field.ErrorList{
			field.Invalid(path, field.OmitValueType{}, SettingsRefused+response.Message),
		}
	}
}
