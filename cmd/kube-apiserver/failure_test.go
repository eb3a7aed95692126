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
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/admission"

	"github.com/wasm-admission/wasm-admission/plugin/pkg/admission/wasm"
)

// invalid is a plugin whose validation fails.
type invalid struct {
	*admission.Handler
	err error
}

func (i *invalid) ValidateInitialization() error { return i.err }

type noConfig struct{}

func (noConfig) ConfigFor(string) (io.Reader, error) { return nil, nil }

// initialize returns admission.Plugins' error for an error of a plugin's factory.
func initialize(name string, factory admission.Factory) error {
	plugins := admission.NewPlugins()
	plugins.Register(name, factory)
	_, err := plugins.NewFromPlugins([]string{name}, noConfig{}, admission.PluginInitializers{},
		nil)
	return fmt.Errorf("failed to apply admission: %w", err)
}

func TestReportFailure(t *testing.T) {
	twoProblems :=
		errors.New("policies[0].module: no such file\npolicies[1].name: Duplicate value: \"a\"")
	failingFactory := func(io.Reader) (admission.Interface, error) { return nil, twoProblems }
	failingValidation := func(io.Reader) (admission.Interface, error) {
		return &invalid{admission.NewHandler(admission.Create), twoProblems}, nil
	}
	const twoLines = `kube-apiserver: WasmAdmission: policies[0].module: no such file
kube-apiserver: WasmAdmission: policies[1].name: Duplicate value: "a"
`
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"the factory fails": {&startError{initialize(wasm.PluginName, failingFactory)},
			twoLines},
		"the validation fails": {&startError{
			initialize(wasm.PluginName, failingValidation),
		}, twoLines},
		"the configuration is refused": {&startError{&refusal{[]string{"one", "two"}}},
			"kube-apiserver: WasmAdmission: one\nkube-apiserver: WasmAdmission: two\n"},
		"another plugin fails": {&startError{initialize("Another", failingFactory)}, ""},
		"a flag is wrong": {errors.New("unknown flag: --x"),
			"Error: unknown flag: --x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			reportFailure(&out, test.err)
			require.Equal(t, test.want, out.String())
		})
	}
}
