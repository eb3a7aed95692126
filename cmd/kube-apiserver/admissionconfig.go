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

// checkAdmissionConfiguration looks at the AdmissionConfiguration file for
// entries that upstream drops without a word and that were meant for
// WasmAdmission, and at the flags for what switches a configured plugin off: its
// policies would silently not be enforced. Both end the start. An entry for any other unknown plugin is legal upstream, where one
// file may serve servers of several versions: it only earns a warning.
//
// A gate that is on while the flags switch off a plugin that nothing configures
// is worth a warning: nobody loses a policy by it.
func checkAdmissionConfiguration(opts *kubeoptions.AdmissionOptions, gate bool) error {
	if flag := disabledBy(opts); flag != "" && gate {
		klog.Warningf("Feature gate %s is on, but %s switches the plugin off: NO POLICY is enforced", featuregate.WasmAdmission, flag)
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
			problems = append(problems, fmt.Sprintf("%s: no admission plugin is called %q and its configuration would be ignored: did you mean %q?", file, entry.Name, wasm.PluginName))
		default:
			klog.Warningf("%s: no admission plugin is called %q: its configuration is IGNORED", file, entry.Name)
		}
	}
	problems = append(problems, checkEntries(file, entries)...)
	if flag := disabledBy(opts); len(entries) > 0 && flag != "" {
		problems = append(problems, fmt.Sprintf("%s configures the plugin, but %s switches it off and none of its policies would be enforced: change the flag, or remove the entry", file, flag))
	}
	if len(problems) > 0 {
		return &refusal{problems}
	}
	return nil
}

// readAdmissionConfiguration decodes file. It returns nil if there is none or
// it cannot be decoded: the server reads it again and says what is wrong.
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

// checkEntries finds what upstream would overlook in the entries of the plugin:
// it takes the first of several, prefers configuration to path, and ends the
// process with a stack dump when path cannot be read.
func checkEntries(file string, entries []apiserver.AdmissionPluginConfiguration) []string {
	var problems []string
	if len(entries) > 1 {
		problems = append(problems, fmt.Sprintf("%s: %d entries under plugins are called %q: only one would be read, merge them", file, len(entries), wasm.PluginName))
	}
	for _, entry := range entries {
		if entry.Path == "" {
			if entry.Configuration == nil {
				problems = append(problems, fmt.Sprintf("%s: the entry %q has neither path nor configuration, so that no policy would be enforced: give it one of them, or remove the entry", file, entry.Name))
			}
			continue
		}
		if entry.Configuration != nil {
			problems = append(problems, fmt.Sprintf("%s: the entry %q has both path and configuration: remove one", file, entry.Name))
		}
		path := entry.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		if _, err := os.ReadFile(path); err != nil {
			problems = append(problems, fmt.Sprintf("%s: the path of the entry %q cannot be read: %v", file, entry.Name, err))
		}
	}
	return problems
}

// disabledBy returns how the flags switch the plugin off: by
// --disable-admission-plugins, or by the deprecated --admission-control, which
// switches off all that it does not name. It returns "" if they do not.
func disabledBy(opts *kubeoptions.AdmissionOptions) string {
	switch {
	case opts.PluginNames != nil && !slices.Contains(opts.PluginNames, wasm.PluginName):
		return "--admission-control, which does not name it,"
	case opts.PluginNames == nil && slices.Contains(opts.GenericAdmission.DisablePlugins, wasm.PluginName):
		return "--disable-admission-plugins=" + wasm.PluginName
	}
	return ""
}

// resemblesPluginName reports whether name, which no plugin has, was meant for
// WasmAdmission: it contains "wasm", as no plugin of Kubernetes does, or is at
// most two edits away, whatever its case and separators.
func resemblesPluginName(name string) bool {
	name = strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(strings.ToLower(name))
	return strings.Contains(name, "wasm") || explain.EditDistance(name, strings.ToLower(wasm.PluginName)) <= 2
}
