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

// Package assembly makes of a configuration what policies are loaded with: an engine, a
// fetcher of modules and a loader, and what keeps the policies that it names served. Every
// program that runs policies is put together here: what lint says of a configuration is
// what a server would make of it.
//
// What a server has beside that is in package serving: the command line links none of it.
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

// HostCapabilities returns the host capabilities that there are, by namespace. The cluster
// answers for that of Kubernetes, and images for that of OCI; nil images answer nothing.
func HostCapabilities(cluster capabilities.Capability, names net.Options,
	images oci.Images) map[string]capabilities.Capability {
	return map[string]capabilities.Capability{
		"kubernetes": cluster,
		"net":        net.New(names),
		"crypto":     crypto.New(nil),
		"oci":        oci.New(images),
	}
}

// Recorder takes notes of policies, whether they are loaded or evaluated.
type Recorder interface {
	policyset.Recorder
	reload.Recorder
	verification.RootRecorder
}

// Options are what programs do in ways of their own. All of it is optional.
type Options struct {
	// Guests are how policies of further execution modes are loaded. They are handed in
	// because they need libraries that not everybody is to link.
	Guests map[abi.ExecutionMode]policyset.GuestLoader
	// Capabilities are the host capabilities that policies may be granted; none by default.
	Capabilities policyset.Capabilities
	// Fetcher fetches modules, and verifies them if it is to be done. Default: as the
	// configuration says.
	Fetcher policyset.Fetcher
	// NewChecker makes what checks signatures. It is handed in because it needs libraries
	// that not everybody is to link. Without it a configuration that demands signatures is
	// refused.
	NewChecker CheckerFactory
	// KeepModules leaves modules in the state directory that no policy needs any more.
	KeepModules bool
	// AdjustEngine may change what the configuration asks of the engine.
	AdjustEngine func(*engine.Options)
	// Warn gets what is to be known of policies that are loaded; nil has it logged. It must
	// be safe for concurrent use.
	Warn func(policyset.Warning)
	// Recorder takes notes; nil discards them.
	Recorder Recorder
}

// Assembly is what policies are loaded with. It is safe for concurrent use. Close it after
// use.
type Assembly struct {
	// Config is what it was made of. It must not be changed.
	Config *wasmadmission.WasmAdmissionConfiguration
	// Loader makes sets of policies.
	Loader *policyset.Loader

	store      *module.Store // nil if nothing is to be removed from it
	signatures *signatures   // nil if none are demanded
	recorder   Recorder
}

// New puts together what a validated configuration asks for. Nothing is fetched yet. Its
// engine compiles in processes of its own if the configuration has it so: the program calls
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

// fetch makes the fetcher that the configuration asks for.
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

// Manager returns what keeps the policies of a source served. It serves none yet. There must
// be no other: what modules are verified by is read again when the source is asked.
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

// Close frees the engine. No policy may be in use.
func (a *Assembly) Close() error { return a.Loader.Engine.Close() }
