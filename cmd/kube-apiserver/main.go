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

// kube-apiserver is the Kubernetes v1.37 API server with the WasmAdmission admission plugin and its
// feature gate compiled in. It accepts the same flags as the upstream command.
//
// `kube-apiserver dev` runs the same server with its own etcd, certificates and kubeconfig, for
// tests and for trying out policies.
package main

import (
	"context"
	"net"
	"os"
	_ "time/tzdata" // time zones for CronJobs, for images without them

	"github.com/spf13/cobra"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of client-go
	_ "k8s.io/component-base/metrics/prometheus/version"  // the build_info metric

	"github.com/wasm-admission/wasm-admission/cmd/kube-apiserver/dev"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

func main() {
	// This must come first, because modules are compiled in child processes of this binary.
	engine.ServeCompilations()
	ctx := context.Background()
	if !isDev(os.Args[1:]) {
		// This may run only once in a process, because a second call panics. The second signal ends
		// the process immediately. dev cannot use this, because it must remove its directory.
		ctx = genericapiserver.SetupSignalContext()
	}
	os.Exit(run(ctx, os.Args[1:]))
}

func isDev(args []string) bool { return len(args) > 0 && args[0] == "dev" }

// run runs the command line args and returns the exit code. It selects the command itself. If dev
// were a cobra subcommand, the server's command would differ from upstream: in its help, its
// handling of arguments, and the hooks that a subcommand inherits.
func run(ctx context.Context, args []string) int {
	var err error
	if isDev(args) {
		cmd := dev.NewCommand(serve)
		start := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if printVersion(cmd.OutOrStdout(), cmd.Flags()) {
				return nil
			}
			return start(cmd, args)
		}
		cmd.SetArgs(args[1:])
		err = cmd.ExecuteContext(ctx)
	} else {
		err = serve(ctx, args, nil)
	}
	if err != nil {
		reportFailure(os.Stderr, err)
		return 1
	}
	return 0
}

// serve runs the API server with the given flags until ctx ends. A non-nil listener replaces the
// one that the flags describe. Feature gates and flags are global in Kubernetes, so serve works
// only once in a process.
func serve(ctx context.Context, args []string, listener net.Listener) error {
	cmd := newServerCommand(ctx, listener)
	cmd.SetArgs(args)
	return cli.RunNoErrOutput(cmd)
}
