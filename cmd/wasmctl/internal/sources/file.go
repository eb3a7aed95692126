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
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// maxFileBytes bounds a sources.yml and a file with certificates.
const maxFileBytes = 4 << 20

// file is a Kubewarden sources.yml.
type file struct {
	Insecure    []string               `json:"insecure_sources"`
	Authorities map[string][]authority `json:"source_authorities"`
	Proxies     struct {
		HTTP  string `json:"http_proxy"`
		HTTPS string `json:"https_proxy"`
		None  string `json:"no_proxy"`
	} `json:"proxies"`
}

// authority is a certificate, in another file or inline.
type authority struct {
	Type string `json:"type"`
	Path string `json:"path"`
	Data string `json:"data"`
}

// readSources reads a sources.yml. It writes certificates into the directory as PEM files. It sets
// proxies as environment variables, which all clients read.
func readSources(path, directory string) (module.Sources, error) {
	content, err := readBounded(path)
	if err != nil {
		return module.Sources{}, err
	}
	var f file
	if err := strictyaml.Unmarshal(content, &f); err != nil {
		return module.Sources{}, fmt.Errorf("is not a Kubewarden sources.yml: %w", err)
	}
	s := module.Sources{Insecure: f.Insecure}
	var errs []error
	for n, host := range slices.Sorted(maps.Keys(f.Authorities)) {
		a := module.Authority{Host: host}
		for m, certificate := range f.Authorities[host] {
			written := filepath.Join(directory, fmt.Sprintf("authority-%d-%d.pem", n, m))
			if err := certificate.write(written); err != nil {
				errs = append(errs, fmt.Errorf("source_authorities[%s][%d]: %w", host, m, err))
			}
			a.Files = append(a.Files, written)
		}
		s.Authorities = append(s.Authorities, a)
	}
	for name, value := range map[string]string{
		"HTTP_PROXY":  f.Proxies.HTTP,
		"HTTPS_PROXY": f.Proxies.HTTPS,
		"NO_PROXY":    f.Proxies.None,
	} {
		if value != "" {
			errs = append(errs, os.Setenv(name, value))
		}
	}
	return s, errors.Join(errs...)
}

// write writes the certificate, which may be in DER, as a PEM file.
func (a *authority) write(path string) error {
	content := []byte(a.Data)
	switch a.Type {
	case "Data":
	case "Path":
		var err error
		if content, err = readBounded(a.Path); err != nil {
			return err
		}
	default:
		return fmt.Errorf("type is %q: write Path or Data", a.Type)
	}
	if block, _ := pem.Decode(content); block == nil {
		content = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: content})
	}
	return os.WriteFile(path, content, 0o600)
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.Size() > maxFileBytes:
		return nil, fmt.Errorf(
			"%s has %d bytes, at most %d are read", path, info.Size(), maxFileBytes)
	}
	return os.ReadFile(path)
}
