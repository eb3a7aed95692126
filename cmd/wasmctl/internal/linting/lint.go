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

// Package linting checks whether an apiserver would start with a configuration. It uses the code of
// the plugin and does the same, including the validation of every policy's settings. It evaluates
// no request. It also checks whether a server would obey a break-glass file.
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

// Options say what to check.
type Options struct {
	// Path is the path of a WasmAdmissionConfiguration, or of an AdmissionConfiguration that
	// contains or names one. With "", the configuration is empty. Path may also be a break-glass
	// file, which is checked alone.
	Path string
	// PolicyDirectory replaces that of the configuration, unless it is "".
	PolicyDirectory string
	// StateDirectory replaces that of the configuration, which belongs to the server. With "", no
	// state is kept.
	StateDirectory string
}

// Report is the result of a check.
type Report struct {
	// BreakGlass reports that a break-glass file was checked instead of a configuration.
	BreakGlass bool `json:"breakGlass,omitempty"`
	// Problems lists why a server would not start, or would not obey the break-glass file, one per
	// line. It is empty if there is no reason.
	Problems []string `json:"problems"`
	// Warnings lists parts of the configuration that are probably mistakes.
	Warnings []string `json:"warnings"`
	// Unseen lists what could not be checked because of other problems.
	Unseen []string `json:"unseen,omitempty"`
	// Policies lists the policies that a server would serve, if it started.
	Policies []Policy `json:"policies"`
	// Hash is the server's hash of this set in its metrics and log. It is the same for the same
	// files under the same paths with the same modules.
	Hash string `json:"hash,omitempty"`
	// Server compares the configuration with a running server. It is nil if none was asked.
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

// Lint checks a configuration. It logs to the logger of the context.
func Lint(ctx context.Context, options Options) *Report {
	l := &linter{report: &Report{Problems: []string{}, Warnings: []string{}, Policies: []Policy{}}}
	l.lint(ctx, options)
	return l.report
}

type linter struct {
	config *wasmadmission.WasmAdmissionConfiguration
	// file is the path of the file with the configuration, or of the break-glass file. It is ""
	// until the file is found.
	file string
	// otherDirectory reports that the policy directory is not the configuration's own.
	otherDirectory bool

	report *Report
	mu     sync.Mutex // held while warnings are added
}

// warn adds a warning from loading policies.
func (l *linter) warn(warning policyset.Warning) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Warnings = append(l.report.Warnings, warning.String())
}

// fail adds the lines of an error to the problems.
func (l *linter) fail(err error) {
	for _, problem := range linesOf(err) {
		l.report.Problems = append(l.report.Problems, l.named(problem))
	}
}

// named puts the file name before a problem of the configuration. Problems of manifests already
// name their file.
func (l *linter) named(problem string) string {
	switch {
	case l.file == "", strings.HasPrefix(problem, "reading a manifest: "):
		return problem
	case l.config != nil && l.config.PolicyDirectory != "" &&
		strings.HasPrefix(problem, l.config.PolicyDirectory+"/"):
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

// unseen records what was not checked, and why.
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
		l.unseen("no manifest was read and no module was fetched: fix the problems first")
		return
	}
	l.policies(ctx, options)
	l.breakGlass()
}

// policies checks the configuration and all that it serves.
func (l *linter) policies(ctx context.Context, options Options) {
	errs := validation.ValidateConfiguration(l.config)
	l.fail(policyset.JoinProblems(errs, nil))
	l.report.Warnings = append(l.report.Warnings, validation.Warnings(l.config)...)

	// The state belongs to the server. Saved policy sets must not hide a problem.
	l.config.StateDirectory, l.config.Reload.KeepLastGood = options.StateDirectory, false
	source := reload.NewSource(l.config)
	desired, complete := l.desired(ctx, source)
	if concernsAll(errs) {
		l.unseen("no module was fetched: fix the problems first")
		return
	}
	a, filesOnly := l.assemble(ctx)
	if a == nil {
		l.unseen("no module was fetched: fix the problems first")
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
		l.unseen(
			"no module of a manifest was fetched: fix the problems of the policy directory and its manifests first")
	}
	l.loadValid(ctx, a, desired, filesOnly)
}

// desired returns the policies of the configuration. It also reports whether those of the manifests
// are included.
func (l *linter) desired(ctx context.Context,
	source reload.Source) (_ *reload.Desired, complete bool) {
	desired, err := source.Policies(ctx)
	if err == nil {
		return desired, true
	}
	l.fail(err)
	// With too few policies, those that exist can still be loaded.
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

// concernsAll reports whether a problem is about more than one policy, so that it makes no sense to
// load the others.
func concernsAll(errs field.ErrorList) bool {
	for _, err := range errs {
		if !strings.HasPrefix(err.Field, "policies[") &&
			!strings.HasPrefix(err.Field, "policyGroups[") {
			return true
		}
	}
	return false
}

// start does the same as a server at its start.
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
				Name: p.Name(), Mode: string(p.Spec().Mode), Mutating: p.Spec().Mutating,
				Digest: p.Digest(), SettingsHash: p.SettingsHash(),
			})
		}
	})
}

// loadValid loads the policies without a known problem. Otherwise, users would find further
// problems only after they fixed the known ones.
func (l *linter) loadValid(ctx context.Context, a *assembly.Assembly, desired *reload.Desired,
	filesOnly bool) {
	l.report.Warnings = append(l.report.Warnings, desired.Warnings...)
	valid := *l.config
	valid.Policies, valid.PolicyGroups = nil, nil
	// Policies after those of the configuration come from manifests and are valid.
	for n, policy := range desired.Policies {
		if n >= len(l.config.Policies) ||
			len(validation.ValidatePolicy(&policy, l.config,
				validation.PolicyPath(n, policy.Name))) == 0 {
			valid.Policies = append(valid.Policies, policy)
		}
	}
	for n, group := range desired.PolicyGroups {
		if n >= len(l.config.PolicyGroups) ||
			len(validation.ValidatePolicyGroup(&group, l.config,
				validation.PolicyGroupPath(n, group.Name))) == 0 {
			valid.PolicyGroups = append(valid.PolicyGroups, group)
		}
	}
	if filesOnly && keepFiles(&valid) {
		l.unseen(
			"no module from a registry or a web server was fetched, nor those of groups with such a member: fix the problems of sources first")
	}
	set, errs := a.Loader.Load(ctx, &valid)
	l.fail(policyset.JoinProblems(errs, desired.Origins))
	if set != nil {
		set.Close()
	}
}

// keepFiles removes policies and groups whose modules are not all in files. It returns whether
// there were any.
func keepFiles(config *wasmadmission.WasmAdmissionConfiguration) bool {
	isRemote := func(uri string) bool { return !strings.HasPrefix(uri, "file://") }
	before := len(config.Policies) + len(config.PolicyGroups)
	config.Policies = slices.DeleteFunc(config.Policies, func(policy wasmadmission.Policy) bool {
		return isRemote(policy.Module)
	})
	config.PolicyGroups = slices.DeleteFunc(config.PolicyGroups,
		func(group wasmadmission.PolicyGroup) bool {
			return slices.ContainsFunc(group.Policies,
				func(member wasmadmission.PolicyGroupMember) bool {
					return isRemote(member.Module)
				})
		})
	return len(config.Policies)+len(config.PolicyGroups) < before
}

// assemble returns an assembly that loads policies like a server, or nil if it cannot be created.
// If the only problems are in sources, which do not matter for files, the assembly fetches only
// from files.
func (l *linter) assemble(ctx context.Context) (a *assembly.Assembly, filesOnly bool) {
	options := assembly.Options{
		Guests:      host.Guests(),
		NewChecker:  sigstore.ForConfiguration,
		KeepModules: true,
		Warn:        l.warn,
	}
	a, err := assembly.New(ctx, l.config, options)
	if err != nil {
		// Another command may be using the cache directory, which does not belong to the server.
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
