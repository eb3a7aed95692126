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
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/evaluation"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// registryFlags configure the access to registries, and the maximum size of modules.
type registryFlags struct {
	limitFlags
	sourcesPath, dockerConfig string
}

func (f *registryFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.sourcesPath, "sources-path", "",
		"Kubewarden sources.yml `file` with settings for registries (default sources.yaml in kwctl's directory, if there is one)")
	flags.StringVar(&f.dockerConfig, "docker-config-json-path", "",
		"`directory` with a Docker config.json, for credentials of registries (default DOCKER_CONFIG, or ~/.docker)")
}

// options returns how to fetch modules, without a store.
func (f *registryFlags) options() (sources.Options, error) {
	limits, err := f.limits()
	if err != nil {
		return sources.Options{}, err
	}
	return sources.Options{
		MaxBytes:              limits.ModuleSize,
		SourcesPath:           f.sourcesPath,
		DockerConfigDirectory: f.dockerConfig,
	}, nil
}

// sourceFlags configure the sources of modules.
type sourceFlags struct {
	registryFlags
	cache        string
	disableCache bool
	// sampler is told what burns fuel; nil is not.
	sampler *engine.Sampler
}

func (f *sourceFlags) add(flags *pflag.FlagSet) {
	f.registryFlags.add(flags)
	flags.StringVar(&f.cache, "cache-directory", "",
		"`directory` for modules from registries and compiled code (default wasmctl in the user's cache directory)")
	flags.BoolVar(&f.disableCache, "disable-wasmtime-cache", false, "do not keep compiled code")
	f.limitFlags.add(flags)
}

// directory returns a named directory below the cache directory, or "" if there is no cache.
func (f *sourceFlags) directory(name string) string {
	cache := f.cache
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		cache = filepath.Join(user, "wasmctl")
	}
	path, err := filepath.Abs(filepath.Join(cache, name))
	if err != nil || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return ""
	}
	return path
}

// fetcher returns a fetcher for modules. It verifies them unless the verifier is nil, and reports
// the progress of downloads.
func (f *sourceFlags) fetcher(verifier module.Verifier,
	progress func(bytes, total int64)) (*sources.Fetcher, error) {
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	options.Verifier, options.Progress = verifier, progress
	options.StoreDirectory = f.directory("modules")
	if store, err := policystore.Default(); err == nil { // otherwise nothing was pulled
		options.Policies = store
	}
	return sources.NewFetcher(options), nil
}

// evaluator returns an evaluator that takes modules from a fetcher. The timeout bounds an
// evaluation; 0 selects the one of the limits.
func (f *sourceFlags) evaluator(fetcher policyset.Fetcher,
	timeout time.Duration) (*evaluation.Evaluator, error) {
	limits, err := f.limits()
	if err != nil {
		return nil, err
	}
	return evaluation.New(evaluation.Options{
		Fetcher:       fetcher,
		CodeDirectory: f.codeDirectory(),
		Limits:        limits,
		Timeout:       timeout,
		Sampler:       f.sampler,
	})
}

// codeDirectory is the directory for compiled code, or "" if code is not kept.
func (f *sourceFlags) codeDirectory() string {
	if f.disableCache {
		return ""
	}
	return f.directory("compiled")
}
