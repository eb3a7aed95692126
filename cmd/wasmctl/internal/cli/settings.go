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
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/yaml12"
	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

// settingsFlags select a policy's settings.
type settingsFlags struct {
	path, json string
	flags      *pflag.FlagSet
}

func (f *settingsFlags) add(flags *pflag.FlagSet) {
	f.flags = flags
	flags.StringVarP(&f.path, "settings-path", "s", "",
		"JSON or YAML `file` with the policy's settings: YAML 1.1 as in kubectl, or 1.2 if the command is called kwctl")
	flags.StringVar(&f.json, "settings-json", "", "the policy's settings, as `JSON`")
}

// settings returns the policy's settings as JSON, or nil if none are given.
func (c *command) settings(f *settingsFlags) ([]byte, error) {
	text, name := []byte(f.json), "--settings-json"
	switch {
	case f.path != "" && f.json != "":
		return nil, usagef("--settings-path and --settings-json exclude each other: remove one")
	case f.path != "":
		var err error
		if text, err = c.read(f.path); err != nil {
			return nil, fmt.Errorf("reading the settings: %w", err)
		}
		name = f.path
	}
	if c.name == kwctl {
		return f.kwctlSettings(name, text)
	}
	object, err := text, error(nil)
	if !json.Valid(text) { // YAML lacks some of JSON's escapes
		if object, err = strictyaml.ToJSON(text); err != nil {
			err = explain.YAML(err)
		}
	}
	var fields map[string]any
	if err == nil {
		err = json.Unmarshal(object, &fields)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the settings are not an object: %w", name, explain.Value(err))
	}
	if fields == nil { // nothing, or null
		return nil, nil
	}
	return object, nil
}

// kwctlSettings reads settings as kwctl does: those in a file as YAML 1.2, and others as JSON. If
// settings are given, they must not be empty.
func (f *settingsFlags) kwctlSettings(name string, text []byte) (_ []byte, err error) {
	switch {
	case f.path != "":
		text, err = yaml12.ToJSON(text)
	case !f.flags.Changed("settings-json"):
		return nil, nil
	}
	var fields map[string]any
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err == nil && fields == nil {
		err = errors.New("they are null")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the settings are not an object: %w", name, explain.Value(err))
	}
	return text, nil
}
