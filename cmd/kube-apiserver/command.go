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

package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/server/flagz"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/metrics/prometheus/workqueue" // metrics of work queues
	"k8s.io/component-base/term"
	utilversion "k8s.io/component-base/version"
	"k8s.io/component-base/version/verflag"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/wasm-admission/wasm-admission/featuregate"
	"github.com/wasm-admission/wasm-admission/internal/buildinfo"
	"github.com/wasm-admission/wasm-admission/plugin/pkg/admission/wasm"
)

// newServerCommand builds the command of the API server. It does the same as
// app.NewAPIServerCommand, which has no way to add a plugin or a gate.
func newServerCommand(ctx context.Context, listener net.Listener) *cobra.Command {
	// This comes before the flags, because they list the gates, and binding them closes the set.
	// Package app adds the logging gates in its initialization.
	utilruntime.Must(featuregate.Add(utilfeature.DefaultMutableFeatureGate))

	opts := options.NewServerRunOptions()
	readyz, told := addPlugin(opts.Admission.GenericAdmission)
	globals := opts.GenericServerRunOptions.ComponentGlobalsRegistry

	cmd := &cobra.Command{
		Use: "kube-apiserver",
		Long: `The Kubernetes API server, with admission policies in WebAssembly compiled in
(feature gate WasmAdmission). Its flags are those of the upstream server.

"kube-apiserver dev" runs it with an etcd, certificates and a kubeconfig of its
own; see "kube-apiserver dev --help".`,
		SilenceUsage: true,
		Args:         noArguments,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if err := globals.Set(); err != nil {
				return err
			}
			// The loopback clients would log warnings that are meant for users.
			rest.SetDefaultWarningHandler(rest.NoWarnings{})
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if printVersion(cmd.OutOrStdout(), cmd.Flags()) {
				return nil
			}
			gate := utilfeature.DefaultMutableFeatureGate
			if err := logsapi.ValidateAndApply(opts.Logs, gate); err != nil {
				return err
			}
			cliflag.PrintFlags(cmd.Flags())
			if listener != nil {
				opts.SecureServing.Listener = listener
			}
			completed, err := complete(ctx, opts)
			if err != nil {
				return &startError{err}
			}
			gate.AddMetrics()
			globals.AddMetrics()
			if err := runServer(ctx, completed, readyz, told); err != nil {
				return &startError{err}
			}
			return nil
		},
	}
	cmd.SetContext(ctx)
	addFlags(cmd, opts)
	return cmd
}

// addFlags binds the server's flags, in their named sections, to cmd.
func addFlags(cmd *cobra.Command, opts *options.ServerRunOptions) {
	sections := opts.Flags()
	opts.Flagz = flagz.NamedFlagSetsReader{FlagSets: sections}
	verflag.AddFlags(sections.FlagSet("global"))
	globalflag.AddGlobalFlags(sections.FlagSet("global"), cmd.Name(),
		logs.SkipLoggingConfigurationFlags())
	for _, section := range sections.FlagSets {
		cmd.Flags().AddFlagSet(section)
	}
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	cliflag.SetUsageAndHelpFunc(cmd, sections, columns)
}

// printVersion prints the versions of Kubernetes and of the plugin if the flags ask for them, and
// reports whether it did. Upstream's line comes first, for programs that parse it.
func printVersion(w io.Writer, flags *pflag.FlagSet) bool {
	switch flag := flags.Lookup("version").Value.String(); flag {
	case string(verflag.VersionTrue):
		fmt.Fprintf(w, "Kubernetes %s\n", utilversion.Get())
	case string(verflag.VersionRaw):
		fmt.Fprintf(w, "%#v\n", utilversion.Get())
	default:
		return false
	}
	fmt.Fprintf(w, "%s %s\n", wasm.PluginName, buildinfo.String())
	return true
}

func noArguments(cmd *cobra.Command, args []string) error {
	for _, arg := range args {
		if arg != "" {
			return fmt.Errorf("%q does not take any arguments, got %q", cmd.CommandPath(), args)
		}
	}
	return nil
}

// complete fills in the defaults and validates the options. Upstream's validation runs first, and
// then the check of the admission configuration for WasmAdmission.
func complete(ctx context.Context,
	opts *options.ServerRunOptions) (options.CompletedOptions, error) {
	completed, err := opts.Complete(ctx)
	if err != nil {
		return options.CompletedOptions{}, err
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return options.CompletedOptions{}, utilerrors.NewAggregate(errs)
	}
	if err := checkAdmissionConfiguration(completed.Admission,
		utilfeature.DefaultFeatureGate.Enabled(featuregate.WasmAdmission)); err != nil {
		return options.CompletedOptions{}, err
	}
	return completed, nil
}
