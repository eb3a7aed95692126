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

// wasm-admission-webhook runs the policies of a WasmAdmissionConfiguration behind admission
// webhooks, for clusters whose apiserver cannot include the WasmAdmission plugin. It accepts the
// same configuration, manifests and modules, and answers like the plugin, except for features that
// need the apiserver. docs/webhook.md lists these.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of client-go

	"github.com/wasm-admission/wasm-admission/internal/buildinfo"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// ballastBytes is how much larger the heap seems to the garbage collector. With the default GOGC,
// twice as much more garbage is made before a collection starts.
//
// This process keeps little on the heap and makes tens of kilobytes of garbage for each review,
// so that collections would follow each other closely. A larger GOGC would do the same, but its
// cost grows with the heap, and a cluster with many objects has a large one. The ballast costs the
// same everywhere. It takes no memory itself, as nothing writes to it.
const ballastBytes = 16 << 20

func main() {
	// This must come first, because modules are compiled in child processes of this binary.
	engine.ServeCompilations()
	ballast := make([]byte, ballastBytes)
	code := run(newCommand(), os.Stderr)
	runtime.KeepAlive(ballast)
	os.Exit(code)
}

// run runs the command and returns the exit code. Each problem gets its own line, because a
// configuration may have several.
func run(command *cobra.Command, stderr io.Writer) int {
	err := cli.RunNoErrOutput(command)
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		// there is no other place to report an error
		_, _ = fmt.Fprintf(stderr, "wasm-admission-webhook: %s\n", line)
	}
	return 1
}

func newCommand() *cobra.Command {
	o, logging := newOptions(), logsapi.NewLoggingConfiguration()
	command := &cobra.Command{
		Use:   "wasm-admission-webhook --config=FILE --tls-cert-file=FILE --tls-private-key-file=FILE (--service=NAMESPACE/NAME | --url=URL) [flags]",
		Short: "Serve WebAssembly admission policies as admission webhooks",
		Long: `Serves the policies of a WasmAdmissionConfiguration as admission webhooks, one for each
policy, and keeps the webhook configurations of the cluster up to date with them.

It ends with code 0 after SIGTERM or SIGINT, once what was under way is answered, and with 1
if it cannot start; standard error has a line for each problem then. The webhook
configurations stay: without a server, requests are refused as failurePolicy says.`,
		Args:    cobra.NoArgs,
		Version: buildinfo.String(),
		RunE: func(command *cobra.Command, _ []string) error {
			if err := logsapi.ValidateAndApply(logging, nil); err != nil {
				return err
			}
			if err := o.validate(); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if o.print {
				return printConfigurations(ctx, o, command.OutOrStdout())
			}
			return serve(ctx, o)
		},
	}
	o.addFlags(command.Flags())
	logsapi.AddFlags(logging, command.Flags())
	command.SetOut(os.Stdout)
	return command
}
