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
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// oneArgument demands one argument, and names it if it is missing.
func oneArgument(name, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, arguments []string) error {
		if err := someArguments(name, what)(cmd, arguments); err != nil {
			return err
		}
		if len(arguments) > 1 {
			return usagef("there is one %s at a time: %q is one more", name, arguments[1])
		}
		return nil
	}
}

// someArguments demands one argument or more.
func someArguments(name, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, arguments []string) error {
		if len(arguments) == 0 {
			return usagef("%s is missing: name %s", name, what)
		}
		return nil
	}
}

// twoArguments demands two arguments, and names what is missing.
func twoArguments(first, firstWhat, second, secondWhat string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, arguments []string) error {
		if err := someArguments(first, firstWhat)(cmd, arguments); err != nil {
			return err
		}
		if err := someArguments(second, secondWhat)(cmd, arguments[1:]); err != nil {
			return err
		}
		if len(arguments) > 2 {
			return usagef("there is one %s and one %s at a time: %q is one more", first, second, arguments[2])
		}
		return nil
	}
}

// checkTimeout refuses a time in which nothing can be evaluated. Zero stands for the
// default only if nobody wrote it.
func checkTimeout(flags *pflag.FlagSet, timeout time.Duration) error {
	if flags.Changed("timeout") && timeout <= 0 {
		return usagef("--timeout: %s is no time to evaluate anything in: write one such as 2s, or leave the flag out", timeout)
	}
	return nil
}
