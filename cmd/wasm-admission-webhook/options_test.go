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
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

func parse(t *testing.T, args ...string) *options {
	t.Helper()
	o := newOptions()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.addFlags(flags)
	require.NoError(t, flags.Parse(args))
	return o
}

func TestFlags(t *testing.T) {
	directory := t.TempDir()
	config := filepath.Join(directory, "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte("{}"), 0o600))
	large := filepath.Join(directory, "large")
	require.NoError(t, os.WriteFile(large, make([]byte, maxBundleBytes+1), 0o600))
	good := []string{
		"--config=" + config, "--tls-cert-file=c", "--tls-private-key-file=k", "--service=n/s",
	}
	require.NoError(t, parse(t, good...).validate())
	for _, test := range []struct {
		args    []string
		message string
	}{
		{[]string{"--config="}, "--config: name a file"},
		{[]string{"--config=" + filepath.Join(directory, "none")}, "--config: open "},
		{[]string{"--tls-cert-file="}, "--tls-cert-file, --tls-private-key-file: name the files"},
		{[]string{"--service="}, "--service, --url: set one of them"},
		{[]string{"--url=https://h"}, "--service, --url: set one of them"},
		{[]string{"--service=s"}, `--service: "s": must be NAMESPACE/NAME`},
		{[]string{"--service=n/s:x"}, `--service: "n/s:x": must be`},
		{[]string{"--service=n/s:0"}, `--service: "n/s:0": must be`},
		{[]string{"--service=n/s:65536"}, `--service: "n/s:65536": must be`},
		{[]string{"--service=N/s"}, `--service: "N/s": must be`},
		{[]string{"--service=", "--url=http://h"}, `--url: "http://h": must be https://host`},
		{[]string{"--service=", "--url=https://h/path"}, "without a path"},
		{[]string{"--service=", "--url=https://u:p@h"}, "without a path"},
		{[]string{"--configuration-name=A b"}, `--configuration-name: "A b": `},
		{[]string{"--max-requests=0"}, "--max-requests: 0: must be positive"},
		{[]string{"--max-bytes=1"}, "--max-bytes: 1: must be at least --max-body-bytes"},
		{[]string{"--drain-delay=-1s"}, "--drain-delay: -1s: must not be negative"},
		{[]string{"--ca-bundle-file=" + large}, "has more than 65536 bytes"},
	} {
		require.ErrorContains(t, parse(t, append(good, test.args...)...).validate(), test.message,
			"%s", test.args)
	}
	require.NoError(t,
		parse(t, "--config="+config, "--tls-cert-file=c", "--tls-private-key-file=k",
			"--write-webhook-configurations=false").validate())
}

// The webhooks exclude the server's own namespace, so that its Pods can always be created.
func TestTheOwnNamespaceIsExcluded(t *testing.T) {
	o := parse(t, "--service=own/s:8443", "--exclude-namespaces=a,b")
	require.NoError(t, o.validateTarget())
	target := o.target(&wasmadmission.WasmAdmissionConfiguration{})
	require.Equal(t, []string{"own", "a", "b"}, target.ExcludedNamespaces)
	require.Equal(t, int32(8443), *target.Service.Port)
}
