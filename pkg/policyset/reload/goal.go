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

package reload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/stray"
	"github.com/wasm-admission/wasm-admission/pkg/verification/modules"
)

// unknown replaces the hash of a set that cannot be read.
const unknown = "unknown"

// maxTries is how often a load is tried if modules change during loading.
const maxTries = 3

// goal is the set that the source wants at one time, with its modules at that time.
type goal struct {
	desired *Desired
	err     error // from the source
	modules *resolution
	hash    string
}

// goal asks the source and fetches the modules. It becomes the goal of the attempt.
func (m *Manager) goal(ctx context.Context, a *attempt) *goal {
	desired, err := m.desired(ctx)
	g := &goal{desired: desired, err: err, hash: unknown}
	a.desired.Store(desired)
	g.modules = resolve(ctx, &m.strays, m.fetcher(), desired.modules(), m.resolved, m.known)
	a.modules.Store(g.modules)
	if err == nil {
		m.resolved = g.modules
	}
	m.warn(ctx, desired)
	if desired.Hash != "" {
		g.hash = g.modules.hash(desired.Hash)
	}
	return g
}

// desired asks the source. It turns a panic into an error.
func (m *Manager) desired(ctx context.Context) (*Desired, error) {
	desired, err := stray.Within(ctx, &m.strays, "reading the policies",
		func() (desired *Desired, err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("panic while the policies were read: %v", r)
				}
			}()
			giveBack, err := m.asking.take(ctx)
			if err != nil {
				return nil, err
			}
			defer giveBack()
			return m.options.Source.Policies(ctx)
		}, func(*Desired) {})
	if desired == nil {
		desired = &Desired{}
	}
	return desired, err
}

func (m *Manager) running() *policyset.Set {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set
}

// fetcher returns the fetcher of the loader.
func (m *Manager) fetcher() policyset.Fetcher {
	return cmp.Or[policyset.Fetcher](m.options.Loader.Fetcher,
		&module.Fetcher{MaxBytes: m.options.Config.Limits.ModuleSize})
}

// settled returns the goal after two consecutive looks have found the same. That way, files and
// modules that are replaced together are not read half old and half new.
func (m *Manager) settled(ctx context.Context, a *attempt, g *goal) (*goal, error) {
	for range maxTries {
		again := m.goal(ctx, a)
		if ctx.Err() != nil {
			return g, cmp.Or(g.err, g.problems(), context.Cause(ctx))
		}
		if again.hash == g.hash {
			// Only the first goal has the new modules in memory.
			return g, g.err
		}
		g = again
	}
	return g, errors.New("policies or modules keep changing while they are read")
}

// load loads the desired set while the current one is served. If a module changes during loading,
// load looks again.
func (m *Manager) load(ctx context.Context, a *attempt, g *goal) (*policyset.Set, *goal, error) {
	for try := 1; ; try++ {
		g, err := m.settled(ctx, a, g)
		if err != nil {
			return nil, g, err
		}
		set, err := m.loadFrom(ctx, g.desired, g.modules)
		if err == nil || !g.modules.changed.Load() || try == maxTries || ctx.Err() != nil {
			return set, g, err
		}
	}
}

func (m *Manager) loadFrom(ctx context.Context, desired *Desired,
	modules *resolution) (*policyset.Set, error) {
	loader := *m.options.Loader
	loader.Fetcher, loader.Strays = modules, &m.strays
	loader.CarryOver = carryOver(m.running(), modules)
	config := *m.options.Config
	config.Policies, config.PolicyGroups = desired.Policies, desired.PolicyGroups
	set, errs := loader.Load(ctx, &config)
	return set, policyset.JoinProblems(errs, desired.Origins)
}

// carryOver returns a function that finds the policies of a set that are still wanted: the spec is
// the same, and its address still stands for the same module. The set must stay open as long as the
// function is used.
func carryOver(set *policyset.Set,
	modules *resolution) func(*wasmadmission.Policy) *policyset.Policy {
	byName := make(map[string]*policyset.Policy, len(set.Policies()))
	for _, p := range set.Policies() {
		byName[p.Name()] = p
	}
	return func(spec *wasmadmission.Policy) *policyset.Policy {
		p := byName[spec.Name]
		if p == nil ||
			!p.IsMadeOf(spec,
				modules.digest(addressOf(policyset.ModuleRequest(spec.Module, spec.Digest,
					spec.Verification)))) {
			return nil
		}
		return p
	}
}

// loadLastGood loads the kept set. It uses nothing but what was kept.
func (m *Manager) loadLastGood(ctx context.Context) (*record, *policyset.Set, error) {
	ctx, end := m.bound(ctx, "could not be loaded")
	defer end(nil)
	kept, err := stray.Within(ctx, &m.strays, "reading the set that was served last",
		m.lastGood.load, func(*record) {})
	if err != nil {
		return nil, nil, err
	}
	if err := requireMinimum(m.options.Config, kept.Policies, kept.PolicyGroups); err != nil {
		return nil, nil, err
	}
	config := *m.options.Config
	config.PolicyDirectory = ""
	config.Policies, config.PolicyGroups = kept.Policies, kept.PolicyGroups
	if err := policyset.JoinProblems(validation.ValidateConfiguration(&config), nil); err != nil {
		return nil, nil, err
	}
	loader := *m.options.Loader
	loader.Fetcher, loader.Strays = m.lastGood.fetcher(kept, m.options.Config.Limits.ModuleSize,
		m.options.Verifier), &m.strays
	set, errs := loader.Load(ctx, &config)
	return kept, set, policyset.JoinProblems(errs, nil)
}

// paths returns the files and directories to watch.
func (m *Manager) paths() []string { return m.pathsOf(m.resolved.addresses) }

func (m *Manager) pathsOf(addresses []address) []string {
	paths := append(m.options.Source.Paths(), layoutPaths(m.options.Config.Sources.Layout)...)
	for _, a := range addresses {
		if place, isLayout := strings.CutPrefix(a.URI, moduleuri.LayoutScheme+"://"); isLayout {
			if in, err := moduleuri.ParseInLayout(place); err == nil {
				paths = append(paths, layoutPaths(in.Path)...)
			}
		}
		if path, isFile := strings.CutPrefix(a.URI, "file://"); isFile {
			paths = append(paths, path)
			if m.options.Verifier != nil {
				paths = append(paths, path+modules.BundleSuffix)
			}
		}
	}
	return paths
}

// layoutPaths returns the paths that change if an OCI image layout does, be it a tar or a
// directory.
func layoutPaths(layout string) []string {
	if layout == "" {
		return nil
	}
	return []string{layout, filepath.Join(layout, ocispec.ImageIndexFile)}
}

// keep keeps the set that is served for a restart. A failure does not affect serving.
func (m *Manager) keep(ctx context.Context, g *goal) {
	m.keptAs = g.modules.verifiedBy()
	if err := m.saveLastGood(ctx, g); err != nil {
		m.options.Recorder.CountLastGoodSave(resultFailed)
		klog.FromContext(ctx).Error(explain.InOneLine(err),
			"Cannot keep the policies that are served: a restart cannot fall back on them")
		return
	}
	m.options.Recorder.CountLastGoodSave(resultSucceeded)
}

func (m *Manager) saveLastGood(ctx context.Context, g *goal) error {
	r := &record{Hash: g.hash, Policies: g.desired.Policies, PolicyGroups: g.desired.PolicyGroups}
	for _, a := range g.modules.addresses {
		k := keptModule{Address: a, Digest: g.modules.digest(a)}
		if found := g.modules.module(a); found != nil {
			k.Proof = found.Proof
		}
		r.Modules = append(r.Modules, k)
	}
	ctx, end := m.bound(ctx, "could not be kept")
	defer end(nil)
	_, err := stray.Within(ctx, &m.strays, "keeping the set that is served",
		func() (struct{}, error) {
			return struct{}{}, m.lastGood.save(ctx, r, g.modules)
		}, func(struct{}) {})
	if err != nil {
		return fmt.Errorf("keeping the set in %s: %w", m.lastGood.directory, err)
	}
	return nil
}

// warn logs the warnings about the desired set. It logs each only once for as long as it persists.
func (m *Manager) warn(ctx context.Context, desired *Desired) {
	warned := sets.New(desired.Warnings...)
	for _, warning := range desired.Warnings {
		if !m.warned.Has(warning) {
			policyset.Warning{Text: warning}.Tell(ctx, m.options.Loader.Warn)
		}
	}
	m.warned = warned
}

// announce logs the set that is served from now on.
func (m *Manager) announce(ctx context.Context, set *policyset.Set, g *goal) {
	if len(set.Policies()) == 0 {
		policyset.Warning{
			Kind: policyset.Alarm,
			Text: "the feature is enabled and NO POLICY is configured: every request is admitted. Name policies in the file given by --admission-control-config-file, or switch the feature gate off",
		}.Tell(ctx, m.options.Loader.Warn)
		return
	}
	klog.FromContext(ctx).Info("Policies are loaded", "count", len(set.Policies()), "hash", g.hash)
}
