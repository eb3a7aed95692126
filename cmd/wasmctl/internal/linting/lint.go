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

// Package linting says whether an apiserver would start with a configuration, by doing
// what it would do: with the code of the plugin, down to asking every policy whether it
// can work with its settings. Nothing is evaluated. It also says whether a break-glass file
// would be obeyed.
package linting

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
)

// Options say what is looked at.
type Options struct {
	// Path is that of a WasmAdmissionConfiguration, or of the AdmissionConfiguration that
	// holds or names one; "" stands for one that says nothing. It may be that of a
	// break-glass file instead, which is looked at alone.
	Path string
	// PolicyDirectory takes the place of the configuration's; "" leaves it.
	PolicyDirectory string
	// StateDirectory takes the place of the configuration's, which belongs to the server:
	// "" keeps nothing.
	StateDirectory string
}

// Report is what is known of a configuration.
type Report struct {
	// BreakGlass is whether a break-glass file was looked at, and no configuration.
	BreakGlass bool `json:"breakGlass,omitempty"`
	// Problems are why a server would not start, or not obey the break-glass file, a line
	// each; none means that it would.
	Problems []string `json:"problems"`
	// Warnings are what the configuration probably does not mean.
	Warnings []string `json:"warnings"`
	// Unseen are what could not be looked at because of other problems.
	Unseen []string `json:"unseen,omitempty"`
	// Policies are those that a server would serve, if it would start.
	Policies []Policy `json:"policies"`
	// Hash is what a server calls that set, in its metrics and its log: the same for the
	// same files, under the same paths, and the same modules.
	Hash string `json:"hash,omitempty"`
	// Server is how a running one stands to it, nil if none was asked.
	Server *Server `json:"server,omitempty"`
}

// Policy is a policy or group that would be served.
type Policy struct {
	Name         string `json:"name"`
	Mode         string `json:"mode"`
	Mutating     bool   `json:"mutating"`
	Digest       string `json:"digest"`
	SettingsHash string `json:"settingsHash"`
}

// Lint looks at a configuration. It logs to the logger of the context.
func Lint(ctx context.Context, options Options) *Report {
	l := &linter{report: &Report{Problems: []string{}, Warnings: []string{}, Policies: []Policy{}}}
	l.lint(ctx, options)
	return l.report
}

type linter struct {
	config *wasmadmission.WasmAdmissionConfiguration
	// file is the one that holds the configuration or is a break-glass file, "" before it is
	// found.
	file string
	// otherDirectory is whether the policy directory is not the one of the configuration.
	otherDirectory bool

	report *Report
	mu     sync.Mutex // held while warnings of loading are added
}

// warn takes a warning of loading policies.
func (l *linter) warn(warning policyset.Warning) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Warnings = append(l.report.Warnings, warning.String())
}

// fail takes the problems that an error has, a line each.
func (l *linter) fail(err error) {
	for _, problem := range linesOf(err) {
		l.report.Problems = append(l.report.Problems, l.named(problem))
	}
}

// named puts the file before a problem of the configuration. Those of manifests name theirs.
func (l *linter) named(problem string) string {
	switch {
	case l.file == "", strings.HasPrefix(problem, "reading a manifest: "):
		return problem
	case l.config != nil && l.config.PolicyDirectory != "" && strings.HasPrefix(problem, l.config.PolicyDirectory+"/"):
		return problem
	case l.otherDirectory && strings.HasPrefix(problem, "policyDirectory: "):
		return problem
	}
	return l.file + ": " + problem
}

func linesOf(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(err.Error(), "\n"), "\n")
}

// unseen notes what was not looked at, and why.
func (l *linter) unseen(what string) { l.report.Unseen = append(l.report.Unseen, what) }

func (l *linter) lint(ctx context.Context, options Options) {
	kind, err := "", error(nil)
	if options.Path != "" {
		kind, err = kindOf(options.Path)
	}
	if kind == breakGlassKind {
		l.breakGlassAlone(options)
		return
	}
	if err == nil {
		err = l.read(options)
	}
	if err != nil {
		l.fail(err)
		l.unseen("no manifest was read and no module was fetched: mend the problems first")
		return
	}
	l.policies(ctx, options)
	l.breakGlass()
}

// policies looks at the configuration and at all that it has served.
func (l *linter) policies(ctx context.Context, options Options) {
	errs := validation.ValidateConfiguration(l.config)
	l.fail(policyset.JoinProblems(errs, nil))
	l.report.Warnings = append(l.report.Warnings, validation.Warnings(l.config)...)

	// The state belongs to the server, and what it kept is no answer to the question.
	l.config.StateDirectory, l.config.Reload.KeepLastGood = options.StateDirectory, false
	source := reload.NewSource(l.config)
	desired, complete := l.desired(ctx, source)
	if concernsAll(errs) {
		l.unseen("no module was fetched: mend the problems first")
		return
	}
	a, filesOnly := l.assemble(ctx)
	if a == nil {
		l.unseen("no module was fetched: mend the problems first")
		return
	}
	defer func() {
		if err := a.Close(); err != nil {
			klog.FromContext(ctx).Error(err, "Closing the engine failed")
		}
	}()
	if len(l.report.Problems) == 0 {
		l.start(ctx, a, source)
		return
	}
	if !complete {
		l.unseen("no module of a manifest was fetched: mend the problems of the policy directory and its manifests first")
	}
	l.loadValid(ctx, a, desired, filesOnly)
}

// desired returns what the configuration wants to be served, and whether that is known of the
// manifests, too.
func (l *linter) desired(ctx context.Context, source reload.Source) (_ *reload.Desired, complete bool) {
	desired, err := source.Policies(ctx)
	if err == nil {
		return desired, true
	}
	l.fail(err)
	// Those can be loaded that are too few.
	few := *l.config
	few.MinimumPolicies = 0
	if desired, err := reload.NewSource(&few).Policies(ctx); err == nil {
		return desired, true
	}
	own := &reload.Desired{Policies: l.config.Policies, PolicyGroups: l.config.PolicyGroups}
	if desired != nil {
		own.Warnings = desired.Warnings
	}
	return own, false
}

// read reads the configuration.
func (l *linter) read(options Options) error {
	var data []byte
	if options.Path != "" {
		file, err := ReadConfiguration(options.Path)
		if err != nil {
			return err
		}
		if file.Warning != "" {
			l.report.Warnings = append(l.report.Warnings, file.Warning)
		}
		l.file, data = file.Path, file.Data
	}
	config, err := assembly.Decode(data)
	if err != nil {
		return err
	}
	l.config = config
	if options.PolicyDirectory != "" {
		l.otherDirectory = true
		if l.config.PolicyDirectory, err = filepath.Abs(options.PolicyDirectory); err != nil {
			return err
		}
	}
	return nil
}

// concernsAll is whether any problem is about more than one policy, so that it makes no
// sense to load others.
func concernsAll(errs field.ErrorList) bool {
	for _, err := range errs {
		if !strings.HasPrefix(err.Field, "policies[") && !strings.HasPrefix(err.Field, "policyGroups[") {
			return true
		}
	}
	return false
}

// start does what a server does at its start.
func (l *linter) start(ctx context.Context, a *assembly.Assembly, source reload.Source) {
	manager := a.Manager(source)
	if err := manager.Start(ctx); err != nil {
		l.fail(err)
		return
	}
	l.report.Hash = manager.Status().Running
	manager.Subscribe(func(set *policyset.Set) {
		for _, p := range set.Policies() {
			l.report.Policies = append(l.report.Policies, Policy{
				Name: p.Name(), Mode: string(p.Spec().Mode), Mutating: p.Spec().Mutating, Digest: p.Digest(), SettingsHash: p.SettingsHash(),
			})
		}
	})
}

// loadValid loads the policies that nothing is known to be wrong with: whoever mends the
// others should not meet a new problem then.
func (l *linter) loadValid(ctx context.Context, a *assembly.Assembly, desired *reload.Desired, filesOnly bool) {
	l.report.Warnings = append(l.report.Warnings, desired.Warnings...)
	valid := *l.config
	valid.Policies, valid.PolicyGroups = nil, nil
	// What is behind those of the configuration comes from manifests, and is valid.
	for n, policy := range desired.Policies {
		if n >= len(l.config.Policies) || len(validation.ValidatePolicy(&policy, l.config, validation.PolicyPath(n, policy.Name))) == 0 {
			valid.Policies = append(valid.Policies, policy)
		}
	}
	for n, group := range desired.PolicyGroups {
		if n >= len(l.config.PolicyGroups) || len(validation.ValidatePolicyGroup(&group, l.config, validation.PolicyGroupPath(n, group.Name))) == 0 {
			valid.PolicyGroups = append(valid.PolicyGroups, group)
		}
	}
	if filesOnly && keepFiles(&valid) {
		l.unseen("no module of a registry or a web server was fetched, nor those of groups with such a member: mend the problems of sources first")
	}
	set, errs := a.Loader.Load(ctx, &valid)
	l.fail(policyset.JoinProblems(errs, desired.Origins))
	if set != nil {
		set.Close()
	}
}

// keepFiles takes out policies and groups whose modules are not all in files. It says
// whether there were any.
func keepFiles(config *wasmadmission.WasmAdmissionConfiguration) bool {
	isRemote := func(uri string) bool { return !strings.HasPrefix(uri, "file://") }
	before := len(config.Policies) + len(config.PolicyGroups)
	config.Policies = slices.DeleteFunc(config.Policies, func(policy wasmadmission.Policy) bool { return isRemote(policy.Module) })
	config.PolicyGroups = slices.DeleteFunc(config.PolicyGroups, func(group wasmadmission.PolicyGroup) bool {
		return slices.ContainsFunc(group.Policies, func(member wasmadmission.PolicyGroupMember) bool { return isRemote(member.Module) })
	})
	return len(config.Policies)+len(config.PolicyGroups) < before
}

// assemble makes what loads policies, as a server does; nil if it cannot be made. Where
// nothing but sources is wrong, which does not concern files, it fetches from files only.
func (l *linter) assemble(ctx context.Context) (a *assembly.Assembly, filesOnly bool) {
	options := assembly.Options{Guests: host.Guests(), NewChecker: sigstore.ForConfiguration, KeepModules: true, Warn: l.warn}
	a, err := assembly.New(ctx, l.config, options)
	if err != nil {
		// Another command may have the directory, which is not the server's.
		options.AdjustEngine = func(o *engine.Options) { o.CacheDirectory = "" }
		a, err = assembly.New(ctx, l.config, options)
	}
	if err == nil {
		return a, false
	}
	l.fail(err)
	anonymous := *l.config
	anonymous.Sources.Authorities, anonymous.Sources.DockerConfig = nil, ""
	if a, err = assembly.New(ctx, &anonymous, options); err != nil {
		return nil, false
	}
	return a, true
}
