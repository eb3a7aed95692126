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

package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/kubeconfig"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/servers"
	"github.com/wasm-admission/wasm-admission/pkg/status"
)

// statusFlags are the flags of status.
type statusFlags struct {
	output     outputFlag
	kubeconfig string
	webhooks   string
	wait       time.Duration
}

func (c *command) status() *cobra.Command {
	f := &statusFlags{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which policies the servers of a cluster serve",
		Long: `Reads the Leases in which apiservers report what they serve, and shows a line for
each: whether it runs its configured policies, the hashes of both sets, since when,
how many policies, its version, and when it last renewed its Lease. Below the table it
names problems:

  skew     servers run different policies, or have different configurations
  refused  a server cannot load its configured policies, and serves the previous ones
  unknown  a server does not renew its Lease, or has only an identity Lease

It exits with 3 for skew, 4 if a server refuses its policies, and 5 if one is unknown:
the first that applies.

The age of a Lease is compared with that of other Leases, not with this machine's
clock. If one seems late, which may also be due to different clocks, the command
watches all of them until they are renewed, for at most --wait. Meanwhile
standard error has what is known already.

You need permission to list Leases in the namespace kube-system, or in that of the
webhook servers.`,
		Example: `  wasmctl status
  wasmctl status --webhooks wasm-admission
  wasmctl status -o json | jq '.servers[].report.policies'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.showStatus(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	f.output.add(flags, "table", "json", "yaml")
	f.output.completeFormats(cmd)
	flags.StringVar(&f.kubeconfig, "kubeconfig", "",
		"kubeconfig `file` of the server to ask (default KUBECONFIG, or ~/.kube/config)")
	flags.StringVar(&f.webhooks, "webhooks", "",
		"show the webhook servers in a `namespace` instead of the apiservers")
	flags.DurationVar(&f.wait, "wait", time.Minute, "how long to watch Leases that seem late")
	return cmd
}

func (c *command) showStatus(ctx context.Context, f *statusFlags) error {
	if err := f.output.check(); err != nil {
		return err
	}
	if f.wait < 0 {
		return usagef("--wait: %s is negative: write 0 or more", f.wait)
	}
	config, err := kubeconfig.Load(f.kubeconfig)
	if err != nil {
		return fmt.Errorf(
			"reading the kubeconfig (name one with --kubeconfig or in KUBECONFIG): %w", err)
	}
	config.Timeout = 30 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	table, err := status.Once(ctx, client.CoordinationV1(), status.Webhooks(f.webhooks),
		clock.RealClock{}, f.wait, func(known *status.Table) {
			fmt.Fprintf(c.Err,
				"Watching the Leases for up to %s (--wait): one seems to be late, or clocks differ. Known so far:\n",
				f.wait)
			_ = writeStatus(c.Err, known, f.webhooks) // it comes again below
			fmt.Fprintln(c.Err)
		})
	if err != nil {
		return err
	}
	if err := f.output.print(c.Out, table, func(w io.Writer) error {
		return writeStatus(w, table, f.webhooks)
	}); err != nil {
		return err
	}
	return exitOf(table)
}

// writeStatus writes a table, and below it what is wrong.
func writeStatus(w io.Writer, table *status.Table, webhooks string) error {
	if err := columns(w, func(w io.Writer) { servers.Write(w, table) }); err != nil {
		return err
	}
	for _, line := range servers.Problems(table, webhooks) {
		fmt.Fprintln(w, line)
	}
	return nil
}

// exitOf returns what the command ends with.
func exitOf(t *status.Table) error {
	switch {
	case t.Skew != "":
		return saidError(ExitSkew)
	case t.Count(status.StateRefused) > 0:
		return saidError(ExitRefused)
	case t.Count(status.StateUnknown) > 0, len(t.Servers) == 0:
		return saidError(ExitUnknown)
	}
	return nil
}
