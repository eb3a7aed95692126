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

// Package assembly turns a configuration into an engine, a fetcher of modules and a loader of
// policies, and into a manager that keeps the configured policies served. Every program that runs
// policies uses it, so that lint judges a configuration as a server does.
//
// Package serving has the parts that only servers need. The command line does not link it.
package assembly

import (
	"context"
	"errors"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/crypto"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/net"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// HostCapabilities returns all host capabilities by namespace. cluster answers for namespace
// kubernetes, and images for oci. If images is nil, every question about an image fails.
func HostCapabilities(cluster capabilities.Capability, names net.Options,
	images oci.Images) map[string]capabilities.Capability {
	return map[string]capabilities.Capability{
		"kubernetes": cluster,
		"net":        net.New(names),
		"crypto":     crypto.New(nil),
		"oci":        oci.New(images),
	}
}

// Recorder records what happens to policies, both when they are loaded and when they are evaluated.
type Recorder interface {
	policyset.Recorder
	reload.Recorder
	verification.RootRecorder
}

// Options are the parts in which programs differ. All of them are optional.
type Options struct {
	// Guests load policies of further execution modes. They are injected because they need
	// libraries that not every program should link.
	Guests map[abi.ExecutionMode]policyset.GuestLoader
	// Capabilities are the host capabilities that policies may be granted. Default: none.
	Capabilities policyset.Capabilities
	// Fetcher fetches modules, and verifies them if necessary. Default: a fetcher for the
	// configuration.
	Fetcher policyset.Fetcher
	// NewChecker creates the checker of signatures. It is injected because it needs libraries that
	// not every program should link. Without it, New returns an error for a configuration that
	// demands signatures.
	NewChecker CheckerFactory
	// KeepModules keeps modules in the state directory that no policy needs any more.
	KeepModules bool
	// AdjustEngine may change the engine options that follow from the configuration.
	AdjustEngine func(*engine.Options)
	// Warn receives the warnings about policies that are loaded. nil logs them. It must be safe for
	// concurrent use.
	Warn func(policyset.Warning)
	// Recorder records what happens. nil discards everything.
	Recorder Recorder
}

// Assembly holds what is needed to load policies. It is safe for concurrent use. Close it after
// use.
type Assembly struct {
	// Config is the configuration of the assembly. Do not change it.
	Config *wasmadmission.WasmAdmissionConfiguration
	// Loader creates sets of policies.
	Loader *policyset.Loader

	store      *module.Store // nil if no modules are removed from it
	signatures *signatures   // nil if none are demanded
	recorder   Recorder
}

// New assembles the parts for a validated configuration. It does not fetch anything yet. If the
// configuration asks for child processes, the engine compiles in them, and the program must call
// [engine.ServeCompilations] first.
func New(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
	o Options) (*Assembly, error) {
	options := engineOptions(config)
	if o.AdjustEngine != nil {
		o.AdjustEngine(&options)
	}
	e, err := engine.New(options)
	if err != nil {
		return nil, err
	}
	a := &Assembly{Config: config, recorder: o.Recorder}
	if o.Fetcher == nil {
		if err := a.fetch(ctx, &o); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	if o.KeepModules {
		a.store = nil
	}
	a.Loader = &policyset.Loader{
		Engine: e, Fetcher: o.Fetcher, Guests: o.Guests, Capabilities: o.Capabilities, Warn: o.Warn,
		Recorder: o.Recorder,
	}
	return a, nil
}

// fetch creates the fetcher that the configuration asks for.
func (a *Assembly) fetch(ctx context.Context, o *Options) (err error) {
	if a.signatures, err = newSignatures(ctx, a.Config, o.NewChecker, o.Recorder); err != nil {
		return err
	}
	fetcher, store, err := newFetcher(ctx, a.Config, a.signatures.verifier())
	if err != nil {
		return err
	}
	o.Fetcher, a.store = fetcher, store
	return nil
}

// Manager returns a manager that keeps the policies of a source served. It does not serve any yet.
// Call Manager only once: asking the source also reads the files again that say how to verify
// modules.
func (a *Assembly) Manager(source reload.Source) *reload.Manager {
	o := reload.Options{
		Config:   a.Config,
		Source:   source,
		Loader:   a.Loader,
		Store:    a.store,
		Verifier: a.signatures.verifier(),
		Recorder: a.recorder,
	}
	if a.signatures != nil {
		o.Changed = a.signatures.changed
		if len(a.signatures.paths()) > 0 {
			o.Source = &verifiedSource{source, a.signatures}
		}
	}
	return reload.New(o)
}

// Close closes the engine. No policy may be in use.
func (a *Assembly) Close() error { return a.Loader.Engine.Close() }
