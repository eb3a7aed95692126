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
	"bytes"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"k8s.io/component-base/version/verflag"
)

// The first line is upstream's, which other programs parse.
func TestPrintVersion(t *testing.T) {
	const plugin = `WasmAdmission \S+, commit \S+\n$`
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	verflag.AddFlags(flags)
	defer func() { require.NoError(t, flags.Set("version", "false")) }()
	for argument, want := range map[string]string{
		"":                "^$",
		"--version":       `^Kubernetes v\S+\n` + plugin,
		"--version=raw":   `^version\.Info\{.*\}\n` + plugin,
		"--version=false": "^$",
	} {
		var arguments []string
		if argument != "" {
			arguments = []string{argument}
		}
		require.NoError(t, flags.Set("version", "false"))
		require.NoError(t, flags.Parse(arguments), argument)
		var out bytes.Buffer
		require.Equal(t, want != "^$", printVersion(&out, flags), argument)
		require.Regexp(t, want, out.String(), argument)
	}
}
