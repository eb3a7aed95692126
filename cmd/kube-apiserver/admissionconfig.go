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
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/klog/v2"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"

	"github.com/wasm-admission/wasm-admission/featuregate"
	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/plugin/pkg/admission/wasm"
)

// checkAdmissionConfiguration checks the AdmissionConfiguration file for entries that were meant
// for WasmAdmission but that upstream ignores silently. It also checks the flags for one that
// disables a configured plugin. In both cases, the plugin's policies would silently not be
// enforced, so the server does not start. An entry for any other unknown plugin only causes a
// warning, because it is legal upstream, where one file may serve servers of several versions.
//
// If the gate is on while the flags disable the plugin and nothing configures it, a warning is
// enough: no policy is lost.
func checkAdmissionConfiguration(opts *kubeoptions.AdmissionOptions, gate bool) error {
	if flag := disabledBy(opts); flag != "" && gate {
		klog.Warningf(
			"Feature gate %s is on, but %s switches the plugin off: NO POLICY is enforced",
			featuregate.WasmAdmission, flag)
	}
	file := opts.GenericAdmission.ConfigFile
	config := readAdmissionConfiguration(file)
	if config == nil {
		return nil
	}
	var problems []string
	var entries []apiserver.AdmissionPluginConfiguration
	for _, entry := range config.Plugins {
		switch {
		case entry.Name == wasm.PluginName:
			entries = append(entries, entry)
		case slices.Contains(opts.GenericAdmission.Plugins.Registered(), entry.Name):
		case resemblesPluginName(entry.Name):
			problems = append(problems,
				fmt.Sprintf(
					"%s: no admission plugin is called %q and its configuration would be ignored: did you mean %q?",
					file, entry.Name, wasm.PluginName))
		default:
			klog.Warningf("%s: no admission plugin is called %q: its configuration is IGNORED",
				file, entry.Name)
		}
	}
	problems = append(problems, checkEntries(file, entries)...)
	if flag := disabledBy(opts); len(entries) > 0 && flag != "" {
		problems = append(problems,
			fmt.Sprintf(
				"%s configures the plugin, but %s switches it off and none of its policies would be enforced: change the flag, or remove the entry",
				file, flag))
	}
	if len(problems) > 0 {
		return &refusal{problems}
	}
	return nil
}

// readAdmissionConfiguration decodes the file. It returns nil if there is no file or if it cannot
// be decoded. In the latter case, the server reads the file again and reports the error.
func readAdmissionConfiguration(file string) *apiserver.AdmissionConfiguration {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	decoded, err := runtime.Decode(serializer.NewCodecFactory(scheme).UniversalDecoder(), data)
	if err != nil {
		return nil
	}
	config, _ := decoded.(*apiserver.AdmissionConfiguration)
	return config
}

// checkEntries finds problems in the plugin's entries that upstream overlooks or handles badly.
// Upstream uses the first of several entries, prefers configuration to path, and ends the process
// with a stack dump if path cannot be read.
func checkEntries(file string, entries []apiserver.AdmissionPluginConfiguration) []string {
	var problems []string
	if len(entries) > 1 {
		problems = append(problems,
			fmt.Sprintf(
				"%s: %d entries under plugins are called %q: only one would be read, merge them",
				file, len(entries), wasm.PluginName))
	}
	for _, entry := range entries {
		if entry.Path == "" {
			if entry.Configuration == nil {
				problems = append(problems,
					fmt.Sprintf(
						"%s: the entry %q has neither path nor configuration, so that no policy would be enforced: give it one of them, or remove the entry",
						file, entry.Name))
			}
			continue
		}
		if entry.Configuration != nil {
			problems = append(problems,
				fmt.Sprintf("%s: the entry %q has both path and configuration: remove one", file,
					entry.Name))
		}
		path := entry.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		if _, err := os.ReadFile(path); err != nil {
			problems = append(problems,
				fmt.Sprintf("%s: the path of the entry %q cannot be read: %v", file, entry.Name,
					err))
		}
	}
	return problems
}

// disabledBy returns the flag that disables the plugin: --disable-admission-plugins, or the
// deprecated --admission-control, which disables all plugins that it does not list. It returns ""
// if neither does.
func disabledBy(opts *kubeoptions.AdmissionOptions) string {
	switch {
	case opts.PluginNames != nil && !slices.Contains(opts.PluginNames, wasm.PluginName):
		return "--admission-control, which does not name it,"
	case opts.PluginNames == nil &&
		slices.Contains(opts.GenericAdmission.DisablePlugins, wasm.PluginName):
		return "--disable-admission-plugins=" + wasm.PluginName
	}
	return ""
}

// resemblesPluginName reports whether an unknown name was probably meant for WasmAdmission. Such a
// name contains "wasm", which no plugin of Kubernetes does, or is at most two edits away, ignoring
// case and separators.
func resemblesPluginName(name string) bool {
	name = strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(strings.ToLower(name))
	return strings.Contains(name, "wasm") ||
		explain.EditDistance(name, strings.ToLower(wasm.PluginName)) <= 2
}
