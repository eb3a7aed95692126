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

// oneArgument requires exactly one argument. The error names it if it is missing.
func oneArgument(name, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, arguments []string) error {
		if err := someArguments(name, what)(cmd, arguments); err != nil {
			return err
		}
		if len(arguments) > 1 {
			return usagef("only one %s is allowed, but there is also %q", name, arguments[1])
		}
		return nil
	}
}

// someArguments requires at least one argument.
func someArguments(name, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, arguments []string) error {
		if len(arguments) == 0 {
			return usagef("%s is missing: name %s", name, what)
		}
		return nil
	}
}

// twoArguments requires exactly two arguments. The error names a missing one.
func twoArguments(first, firstWhat, second, secondWhat string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, arguments []string) error {
		if err := someArguments(first, firstWhat)(cmd, arguments); err != nil {
			return err
		}
		if err := someArguments(second, secondWhat)(cmd, arguments[1:]); err != nil {
			return err
		}
		if len(arguments) > 2 {
			return usagef("only one %s and one %s are allowed, but there is also %q", first, second,
				arguments[2])
		}
		return nil
	}
}

// checkTimeout refuses a timeout that is too short for any evaluation. Zero selects the default
// only if the flag is not set.
func checkTimeout(flags *pflag.FlagSet, timeout time.Duration) error {
	if flags.Changed("timeout") && timeout <= 0 {
		return usagef(
			"--timeout: %s is too short for an evaluation: write a time such as 2s, or omit the flag",
			timeout)
	}
	return nil
}
