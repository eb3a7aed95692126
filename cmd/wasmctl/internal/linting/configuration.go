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

package linting

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
)

// pluginName is the plugin's name in an AdmissionConfiguration.
const pluginName = "WasmAdmission"

// File is the configuration that a server would pass to the plugin.
type File struct {
	// Path is the path of the file that contains it.
	Path string
	// Data is the configuration.
	Data []byte
	// Warning is a note on how the configuration was found, or "".
	Warning string
}

// ReadConfiguration returns the plugin's configuration from a file. This is the whole file, or the
// plugin's entry in a server's AdmissionConfiguration, as the server would pass it to the plugin.
func ReadConfiguration(path string) (*File, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	if headOf(data).Kind != "AdmissionConfiguration" {
		return &File{Path: path, Data: data}, nil
	}
	entry, err := pluginEntry(data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case entry == nil:
		return &File{
			Path: path,
			Data: load.Empty(),
			Warning: fmt.Sprintf("%s: no entry under plugins is called %q: no policy is configured",
				path, pluginName),
		}, nil
	case entry.Path != "" && entry.Configuration != nil:
		return nil, fmt.Errorf("%s: the entry %q has both path and configuration: remove one", path,
			pluginName)
	case entry.Path == "" && entry.Configuration == nil:
		return nil, fmt.Errorf(
			"%s: the entry %q has neither path nor configuration, so that no policy would be enforced: give it one of them, or remove the entry",
			path, pluginName)
	case entry.Path == "":
		return &File{Path: path, Data: entry.Configuration.Raw}, nil
	}
	at := entry.Path
	if !filepath.IsAbs(at) {
		at = filepath.Join(filepath.Dir(path), at)
	}
	if data, err = readBounded(at); err != nil {
		return nil, err
	}
	return &File{Path: at, Data: data}, nil
}

// head is the type information of an object.
type head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// headOf reads the head of a file's first document. It ignores errors, which the plugin's decoder
// will report.
func headOf(data []byte) (h head) {
	if strictyaml.CheckExpansion(data) == nil {
		_ = yaml.Unmarshal(data, &h)
	}
	return h
}

// kindOf returns the kind of the object in a file, or "" if it is unknown. It refuses kinds that
// belong in a policy directory.
func kindOf(path string) (string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return "", fmt.Errorf(
			"%s: is a directory: if it holds manifests, name it with --policy-directory",
			path)
	}
	data, err := readBounded(path)
	if err != nil {
		return "", err
	}
	h := headOf(data)
	if strings.HasPrefix(h.APIVersion, "policies.kubewarden.io/") || h.APIVersion == "v1" &&
		h.Kind == "List" {
		return "", fmt.Errorf(
			"%s: is a manifest, not a configuration: name the directory that it is in with --policy-directory",
			path)
	}
	return h.Kind, nil
}

// pluginEntry returns the plugin's entry in an AdmissionConfiguration, or nil if there is none.
func pluginEntry(data []byte) (*apiserver.AdmissionPluginConfiguration, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	decoded, err := runtime.Decode(serializer.NewCodecFactory(scheme, serializer.EnableStrict).
		UniversalDecoder(), data)
	if err != nil {
		return nil, err
	}
	config, ok := decoded.(*apiserver.AdmissionConfiguration)
	if !ok {
		return nil, fmt.Errorf("is a %T, not an AdmissionConfiguration", decoded)
	}
	var found *apiserver.AdmissionPluginConfiguration
	for n := range config.Plugins {
		if config.Plugins[n].Name != pluginName {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf(
				"several entries under plugins are called %q: only one would be read, merge them",
				pluginName)
		}
		found = &config.Plugins[n]
	}
	return found, nil
}

// readBounded reads a file with a little more than the maximum size of a configuration. The decoder
// then refuses one that is too large.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, 2*load.MaxSize))
	return data, errors.Join(err, file.Close())
}
