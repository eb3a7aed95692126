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

package sources

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// Sources returns the configuration for registries and web servers. The first call reads it. It is
// valid until the fetcher is closed.
func (f *Fetcher) Sources(ctx context.Context) (module.Sources, error) {
	f.asking.Do(func() { f.sources, f.sourcesErr = f.readSources(ctx) })
	return f.sources, f.sourcesErr
}

func (f *Fetcher) readSources(ctx context.Context) (s module.Sources, err error) {
	if f.temporary, err = os.MkdirTemp("", "wasmctl-"); err != nil {
		return s, err
	}
	if path := f.sourcesPath(); path != "" {
		if s, err = readSources(path, f.temporary); err != nil {
			return s, fmt.Errorf("%s: %w", path, err)
		}
	}
	path, implied := f.dockerConfig()
	s.DockerConfig = path
	if !implied || path == "" {
		return s, nil
	}
	if _, err := module.NewRegistries(module.RegistriesOptions{Sources: s}); err != nil {
		// The user did not name this file, and it may need helper programs. Most modules need no
		// credentials.
		klog.FromContext(ctx).Error(err, "Registries are accessed without credentials")
		s.DockerConfig = ""
	}
	return s, nil
}

// sourcesPath returns the path of the sources.yml to use, or "" if there is none.
func (f *Fetcher) sourcesPath() string {
	if f.options.SourcesPath != "" {
		return f.options.SourcesPath
	}
	directory, err := policystore.ConfigDirectory()
	if err != nil {
		return ""
	}
	path := filepath.Join(directory, "sources.yaml")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return path
}

// dockerConfig returns the path of Docker's config.json, or "" if there is none. It also reports
// whether the file was chosen by default.
func (f *Fetcher) dockerConfig() (path string, implied bool) {
	directory := f.options.DockerConfigDirectory
	if directory == "" {
		directory, implied = os.Getenv("DOCKER_CONFIG"), true
	}
	if home, err := os.UserHomeDir(); directory == "" && err == nil {
		directory = filepath.Join(home, ".docker")
	}
	path, err := filepath.Abs(filepath.Join(directory, "config.json"))
	if err != nil {
		return "", implied
	}
	if _, err := os.Stat(path); implied && err != nil {
		return "", true
	}
	return path, implied
}
