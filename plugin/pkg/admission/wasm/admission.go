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

// Package wasm contains the admission plugin that evaluates WebAssembly policies. It only connects
// the apiserver to the packages that do the work.
package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	basefeaturegate "k8s.io/component-base/featuregate"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/featuregate"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/assembly/serving"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// PluginName is the plugin's name in an AdmissionConfiguration and in the
// apiserver's flags.
const PluginName = "WasmAdmission"

// Register registers the plugin. It returns health checks for the apiserver's readyz; see
// [serving.Server.HealthChecks]. All plugins of one registration share the policies.
//
// The apiserver's own essential requests bypass policies only if the command makes the server mark
// its requests with the Authenticator of pkg/loopback.
func Register(plugins *admission.Plugins, options ...Option) []healthz.HealthChecker {
	o := serving.Options{Guests: map[abi.ExecutionMode]policyset.GuestLoader{}}
	for _, option := range options {
		option(&o)
	}
	server := serving.NewServer(o)
	plugins.Register(PluginName, func(config io.Reader) (admission.Interface, error) {
		return newPlugin(config, server)
	})
	return server.HealthChecks()
}

// Option extends the plugins of a registration.
type Option func(*serving.Options)

// WithGuests loads policies of an execution mode with load. It is for modes that need a library
// that the plugin does not link.
func WithGuests(mode abi.ExecutionMode, load policyset.GuestLoader) Option {
	return func(o *serving.Options) { o.Guests[mode] = load }
}

// WithChecker checks signatures of modules with a checker from newChecker, such as ForConfiguration
// of pkg/sigstore, whose libraries the plugin does not link. Without it, a configuration that
// demands signatures is an error.
func WithChecker(newChecker assembly.CheckerFactory) Option {
	return func(o *serving.Options) { o.NewChecker = newChecker }
}

// WithStatus publishes what the plugins serve in a Lease. The command must run the status; see
// [serving.Status].
func WithStatus(told *serving.Status) Option {
	return func(o *serving.Options) { o.Status = told }
}

// plugin is the admission plugin.
type plugin struct {
	*admission.Handler

	// config is the plugin's configuration, or nil if there is none.
	config []byte
	server *serving.Server

	enabled bool
	cluster serving.Cluster
	// drained is closed when the apiserver has stopped serving requests.
	drained <-chan struct{}

	// dispatcher is nil if the feature is disabled.
	dispatcher *dispatch.Dispatcher
}

var (
	_ admission.MutationInterface                  = &plugin{}
	_ admission.ValidationInterface                = &plugin{}
	_ admission.InitializationValidator            = &plugin{}
	_ initializer.WantsDrainedNotification         = &plugin{}
	_ initializer.WantsFeatures                    = &plugin{}
	_ initializer.WantsExcludedAdmissionResources  = &plugin{}
	_ initializer.WantsExternalKubeClientSet       = &plugin{}
	_ initializer.WantsDynamicClient               = &plugin{}
	_ initializer.WantsExternalKubeInformerFactory = &plugin{}
	_ initializer.WantsUnconditionalAuthorizer     = &plugin{}
)

func newPlugin(config io.Reader, server *serving.Server) (*plugin, error) {
	p := &plugin{
		Handler: admission.NewHandler(admission.Create, admission.Update, admission.Delete,
			admission.Connect),
		server: server,
	}
	if config == nil {
		return p, nil
	}
	var err error
	if p.config, err = io.ReadAll(config); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return p, nil
}

// SetDrainedNotification implements [initializer.WantsDrainedNotification].
func (p *plugin) SetDrainedNotification(drained <-chan struct{}) { p.drained = drained }

// InspectFeatureGates implements [initializer.WantsFeatures].
func (p *plugin) InspectFeatureGates(gates basefeaturegate.FeatureGate) {
	p.enabled = gates.Enabled(featuregate.WasmAdmission)
}

// SetExcludedAdmissionResources implements
// [initializer.WantsExcludedAdmissionResources].
func (p *plugin) SetExcludedAdmissionResources(excluded []schema.GroupResource) {
	p.cluster.Excluded = excluded
}

// SetExternalKubeClientSet implements [initializer.WantsExternalKubeClientSet].
func (p *plugin) SetExternalKubeClientSet(client kubernetes.Interface) { p.cluster.Client = client }

// SetDynamicClient implements [initializer.WantsDynamicClient].
func (p *plugin) SetDynamicClient(client dynamic.Interface) { p.cluster.Dynamic = client }

// SetExternalKubeInformerFactory implements
// [initializer.WantsExternalKubeInformerFactory].
func (p *plugin) SetExternalKubeInformerFactory(informers informers.SharedInformerFactory) {
	p.cluster.Informers = informers
}

// SetUnconditionalAuthorizer implements
// [initializer.WantsUnconditionalAuthorizer].
func (p *plugin) SetUnconditionalAuthorizer(authorizer authorizer.UnconditionalAuthorizer) {
	p.cluster.Authorizer = authorizer
}

// ValidateInitialization loads the policies. The apiserver starts with all of them or not at all.
func (p *plugin) ValidateInitialization() error {
	if !p.enabled {
		if p.config != nil {
			return fmt.Errorf(
				"a configuration for admission plugin %s is given, but feature gate %s is off: add --feature-gates=%s=true or remove the configuration",
				PluginName, featuregate.WasmAdmission, featuregate.WasmAdmission)
		}
		return nil
	}
	switch {
	case p.cluster.Excluded == nil:
		return errors.New("missing the resources that admission must not intercept")
	case p.drained == nil:
		return errors.New("missing the notification of when the server is drained")
	case p.cluster.Client == nil, p.cluster.Dynamic == nil:
		return errors.New("missing the clients that read the cluster")
	case p.cluster.Authorizer == nil:
		return errors.New("missing the authorizer that decides what policies may read in the cluster")
	}
	ctx := klog.NewContext(wait.ContextForChannel(p.drained),
		klog.Background().WithName(PluginName))
	var err error
	p.dispatcher, err = p.server.Dispatcher(ctx, p.config, p.cluster)
	return err
}

// Admit implements [admission.MutationInterface].
func (p *plugin) Admit(ctx context.Context, attr admission.Attributes,
	o admission.ObjectInterfaces) error {
	if p.dispatcher == nil {
		return nil
	}
	return p.dispatcher.Admit(ctx, attr, o)
}

// Validate implements [admission.ValidationInterface].
func (p *plugin) Validate(ctx context.Context, attr admission.Attributes,
	o admission.ObjectInterfaces) error {
	if p.dispatcher == nil {
		return nil
	}
	return p.dispatcher.Validate(ctx, attr, o)
}
