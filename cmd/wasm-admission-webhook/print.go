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
	"context"
	"errors"
	"io"

	"k8s.io/apimachinery/pkg/runtime/serializer/json"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/webhook/registration"
)

// decode reads the configuration. The error has a line for each problem.
func (o *options) decode() (*wasmadmission.WasmAdmissionConfiguration, error) {
	config, err := assembly.Decode(o.readConfig)
	if err == nil {
		err = policyset.JoinProblems(validation.ValidateConfiguration(config), nil)
	}
	return config, err
}

// printConfigurations loads the policies, because their rules may be in their modules, and prints
// the resulting webhook configurations.
func printConfigurations(ctx context.Context, o *options, stdout io.Writer) (err error) {
	config, err := o.decode()
	if err != nil {
		return err
	}
	a, err := assembly.New(ctx, config, assembly.Options{
		Guests:      guests(),
		NewChecker:  sigstore.ForConfiguration,
		KeepModules: true,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	manager := a.Manager(reload.NewSource(config))
	if err := manager.Start(ctx); err != nil {
		return err
	}
	var policies []*wasmadmission.Policy
	manager.Subscribe(func(set *policyset.Set) {
		policies = registration.Policies(set)
		set.Close()
	})
	target := o.target(config)
	c := target.Configurations(policies)
	serializer := json.NewSerializerWithOptions(json.DefaultMetaFactory, nil, nil,
		json.SerializerOptions{Yaml: true})
	if err := serializer.Encode(c.Mutating, stdout); err != nil {
		return err
	}
	if _, err := io.WriteString(stdout, "---\n"); err != nil {
		return err
	}
	return serializer.Encode(c.Validating, stdout)
}
