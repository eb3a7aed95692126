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
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/top"
)

// leastInterval prevents a typing error from overloading a server.
const leastInterval = 100 * time.Millisecond

// topFlags are the flags of top.
type topFlags struct {
	kubeconfig, order string
	interval          time.Duration
	once              bool
}

func (c *command) top() *cobra.Command {
	f := &topFlags{}
	cmd := &cobra.Command{
		Use:   "top [METRICS]",
		Short: "Show what policies cost a server, and what they decide",
		Long: `Reads the metrics of a server and shows its policies in the terminal: how many
requests they evaluate, deny, fail and change, and how much time and fuel that takes.
The values are per second, since the last reading. The keys t, f, d, x, e and n sort
by time, fuel, denials, failures, evaluations and name; q quits.

Fuel is the same on every machine for the same requests; time is not. Policies
without evaluations are not shown. A policy with an open breaker is not evaluated: its
failure policy applies.

METRICS is a URL or a file, such as one that a collector wrote. Without it, the
command asks the server of the kubeconfig, whose user needs permission to get
/metrics. If several servers share an address, each reading may come from another one,
and values cannot be compared: name one server by its own address.

With --once, it prints a plain table of all counts since the server's start, for
pipes.`,
		Example: `  wasmctl top --sort fuel
  wasmctl top --once --sort denials | head -n 5
  kubectl proxy & wasmctl top http://127.0.0.1:8001/metrics`,
		Args: atMostOneArgument("METRICS"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			return c.showTop(cmd.Context(), f, strings.Join(arguments, ""))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "",
		"kubeconfig `file` of the server to ask (default KUBECONFIG, or ~/.kube/config)")
	flags.StringVar(&f.order, "sort", string(top.Orders[0]),
		"`order`: "+strings.Join(orders(), ", "))
	flags.DurationVar(&f.interval, "interval", 2*time.Second, "time between two readings")
	flags.BoolVar(&f.once, "once", false, "print a plain table and exit")
	complete(cmd, "sort", orders()...)
	return cmd
}

func orders() (names []string) {
	for _, order := range top.Orders {
		names = append(names, string(order))
	}
	return names
}

// atMostOneArgument refuses a second argument.
func atMostOneArgument(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, arguments []string) error {
		if len(arguments) > 1 {
			return usagef("only one %s is allowed, but there is also %q", name, arguments[1])
		}
		return nil
	}
}

func (c *command) showTop(ctx context.Context, f *topFlags, where string) (err error) {
	switch {
	case !slices.Contains(orders(), f.order):
		return usagef("--sort: there is no order %q: write one of %s", f.order,
			strings.Join(orders(), ", "))
	case f.interval < leastInterval:
		return usagef("--interval: %s is too short: write %s or more", f.interval, leastInterval)
	case where != "" && f.kubeconfig != "":
		return usagef("--kubeconfig: METRICS already names their source: remove one of the two")
	}
	source, err := top.NewSource(where, f.kubeconfig)
	if err != nil {
		return err
	}
	if f.once {
		lines, err := top.Once(ctx, source, top.Order(f.order))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.Out, strings.Join(lines, "\n"))
		return err
	}
	screen, err := c.OpenScreen()
	if err != nil {
		return fmt.Errorf("%w: add --once for a plain table", err)
	}
	defer func() { err = errors.Join(err, screen.Close()) }()
	live := &top.Live{
		Source:   source,
		Interval: f.interval,
		Order:    top.Order(f.order),
		Clock:    clock.RealClock{},
	}
	return live.Run(ctx, screen)
}
