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
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/linting"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
)

// limitFlags set the limits for guests. All commands that run guests have them.
type limitFlags struct {
	path                            string
	memory, stack, fuel, moduleSize string
}

func (f *limitFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.path, "limits", "",
		"`file` with a server's configuration, whose limits apply (default: the default limits)")
	f.addModuleSize(flags)
	flags.StringVar(&f.memory, "memory", "", "`quantity` instead of limits.memory, such as 512Mi")
	flags.StringVar(&f.stack, "stack", "", "`quantity` instead of limits.stack, such as 8Mi")
	flags.StringVar(&f.fuel, "fuel", "", "`quantity` instead of limits.fuel, such as 50G")
}

// addModuleSize adds the only flag that commands need if they run no guest.
func (f *limitFlags) addModuleSize(flags *pflag.FlagSet) {
	flags.StringVar(&f.moduleSize, "module-size", "",
		"`quantity` instead of limits.moduleSize, such as 256Mi")
}

// limits returns the limits that the flags select.
func (f *limitFlags) limits() (*wasmadmission.Limits, error) {
	config, err := assembly.Decode(nil)
	if err != nil {
		return nil, err
	}
	if f.path != "" {
		if config.Limits, err = readLimits(f.path); err != nil {
			return nil, fmt.Errorf("--limits: %w", err)
		}
		if err := checkLimits(config); err != nil {
			return nil, inFile("--limits: "+f.path, err)
		}
	}
	for _, flag := range []struct {
		name, text string
		value      *int64
	}{
		{"module-size", f.moduleSize, &config.Limits.ModuleSize},
		{"memory", f.memory, &config.Limits.Memory},
		{"stack", f.stack, &config.Limits.Stack},
		{"fuel", f.fuel, &config.Limits.Fuel},
	} {
		if flag.text == "" {
			continue
		}
		quantity, err := resource.ParseQuantity(flag.text)
		if err != nil {
			return nil, usagef("--%s: %q is not a quantity: write one such as 8Mi or 20G",
				flag.name, flag.text)
		}
		*flag.value = quantity.Value()
	}
	// One instance must fit into the total.
	config.Limits.TotalMemory = max(config.Limits.TotalMemory, config.Limits.Memory)
	if err := checkLimits(config); err != nil {
		return nil, usageError{f.named(err)}
	}
	return &config.Limits, nil
}

// readLimits reads the limits from a server's configuration. It checks only the syntax of all other
// fields.
func readLimits(path string) (wasmadmission.Limits, error) {
	file, err := linting.ReadConfiguration(path)
	if err == nil && file.Warning != "" {
		err = errors.New(file.Warning)
	}
	if err != nil {
		return wasmadmission.Limits{}, err
	}
	config, err := load.LoadFromData(file.Data)
	if err != nil {
		return wasmadmission.Limits{}, fmt.Errorf("%s: %w", file.Path, err)
	}
	return config.Limits, nil
}

func checkLimits(config *wasmadmission.WasmAdmissionConfiguration) error {
	var problems []error
	for _, err := range validation.ValidateConfiguration(config) {
		if strings.HasPrefix(err.Field, "limits.") {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// named puts the flag before each line of an error about limits. The limits in the file are valid,
// so only flags can cause errors here.
func (f *limitFlags) named(err error) error {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		for _, flag := range []struct{ setting, name string }{
			{"limits.moduleSize: ", "--module-size: "}, {"limits.memory: ", "--memory: "},
			{"limits.stack: ", "--stack: "}, {"limits.fuel: ", "--fuel: "},
		} {
			if strings.HasPrefix(line, flag.setting) {
				line = flag.name + line
			}
		}
		lines = append(lines, line)
	}
	return errors.New(strings.Join(lines, ""))
}
