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

// Package cli implements the commands of wasmctl, with their flags, output and exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/internal/buildinfo"
)

// The exit codes of the process.
const (
	// ExitOK means success. It is also the exit code of run if the verdict is a rejection.
	ExitOK = 0
	// ExitProblem reports a problem: settings that a policy refuses, a failed test case, a
	// configuration that a server would refuse, an unreadable file.
	ExitProblem = 1
	// ExitUsage reports an invalid command line.
	ExitUsage = 2
	// ExitSkew, ExitRefused and ExitUnknown describe a cluster: servers run different policies,
	// refuse their configuration, or do not report their status.
	ExitSkew    = 3
	ExitRefused = 4
	ExitUnknown = 5
)

// usageError is an error in the command line.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usagef(format string, arguments ...any) error {
	return usageError{fmt.Errorf(format, arguments...)}
}

// errSaid ends a command that has already printed its problem.
var errSaid = errors.New("something is wrong")

// saidError is an exit code for a command that has already printed its problem.
type saidError int

func (e saidError) Error() string { return errSaid.Error() }

// command holds what all commands share.
type command struct {
	*terminal.Streams
	// name is the name under which the command was called.
	name    string
	verbose bool
	// flags are the flags of the running command.
	flags *pflag.FlagSet
}

// kwctl is the name of Kubewarden's command, which behaves differently in places.
const kwctl = "kwctl"

// New returns the root command. The name is the one under which it was called. Under the name
// kwctl, it accepts kwctl's command line.
func New(name string, streams *terminal.Streams) *cobra.Command {
	c := &command{Streams: streams, name: name}
	root := &cobra.Command{
		Use:   name,
		Short: "Try, test and check admission policies in WebAssembly",
		Long: `wasmctl is for authors and administrators of admission policies in WebAssembly. It
evaluates them with the same engine, limits and conventions as kube-apiserver's
WasmAdmission plugin.

The exit code is 0 for success, 1 if something is wrong, and 2 if the command line is
wrong; status has more codes. If it is linked or renamed to kwctl, it replaces
Kubewarden's kwctl to run, measure, annotate, verify and distribute policies.`,
		Version:          buildinfo.String(),
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { c.flags = cmd.Flags() },
		SilenceErrors:    true,
		SilenceUsage:     true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().BoolVarP(&c.verbose, "verbose", "v", false,
		"log details to standard error")
	root.PersistentFlags().BoolVar(&streams.NoColor, "no-color", false,
		"never use colors; the variable NO_COLOR does the same")
	root.AddCommand(c.run(), c.test(), c.inspect(), c.lint(), c.annotate(), c.pull(), c.push(),
		c.digest(), c.policies(), c.rm(), c.save(), c.load(), c.bundle(), c.sync(), c.info(),
		c.verify(), c.scaffold(), c.bench(), c.docs(), c.completions(), c.top(), c.status())
	markUsage(root)
	return root
}

// markUsage marks errors about arguments as usage errors, for all subcommands.
func markUsage(parent *cobra.Command) {
	for _, sub := range parent.Commands() {
		markUsage(sub)
		check := sub.Args
		if check == nil {
			continue
		}
		sub.Args = func(cmd *cobra.Command, arguments []string) error {
			if err := check(cmd, arguments); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
}

// Main runs a command line and returns the exit code.
func Main(ctx context.Context, name string, arguments []string, streams *terminal.Streams) int {
	root := New(name, streams)
	root.SetArgs(arguments)
	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	var said saidError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &said):
		return int(said)
	case errors.Is(err, errSaid):
		return ExitProblem
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command "):
		fmt.Fprintf(streams.Err, "Error: %s\nSee \"%s --help\".\n", terminal.Plain(err.Error()),
			cmd.CommandPath())
		return ExitUsage
	}
	fmt.Fprintf(streams.Err, "Error: %s\n", terminal.Plain(withFlags(cmd.Flags(), err.Error())))
	return ExitProblem
}

// logger returns a logger that writes to the standard error from the given level on. With the flag
// verbose, it writes everything.
func (c *command) logger(level slog.Level) klog.Logger {
	if c.verbose {
		level = slog.LevelDebug
	}
	return logr.FromSlogHandler(slog.NewTextHandler(c.Err, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// quietly returns a context in which only errors are logged.
func (c *command) quietly(ctx context.Context) context.Context {
	return klog.NewContext(ctx, c.logger(slog.LevelError))
}

// heard returns a context in which policies' logs are shown.
func (c *command) heard(ctx context.Context) context.Context {
	return klog.NewContext(ctx, c.logger(slog.LevelInfo))
}
