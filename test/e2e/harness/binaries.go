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

package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ServerBinary returns the path of the kube-apiserver to test: the value of the environment
// variable KUBE_APISERVER, or else bin/kube-apiserver in this repository.
func ServerBinary() (string, error) {
	if path := os.Getenv("KUBE_APISERVER"); path != "" {
		return path, nil
	}
	path, err := Built("kube-apiserver", "build")
	if err != nil {
		return "", fmt.Errorf("%w (or set KUBE_APISERVER)", err)
	}
	return path, nil
}

// kubectlBinary returns the path of kubectl: the value of the environment variable KUBECTL, or else
// bin/kubectl in this repository, or else the kubectl on PATH.
func kubectlBinary() (string, error) {
	if path := os.Getenv("KUBECTL"); path != "" {
		return path, nil
	}
	path, err := inRepository("bin/kubectl")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if path, err = exec.LookPath("kubectl"); err != nil {
		return "", fmt.Errorf("kubectl is missing: run `make kubectl`, or set KUBECTL: %w", err)
	}
	return path, nil
}

// inRepository returns the path of a file in this repository. The root is the first directory at or
// above the working directory that contains a Makefile and a go.mod.
func inRepository(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		_, noMakefile := os.Stat(filepath.Join(dir, "Makefile"))
		_, noModule := os.Stat(filepath.Join(dir, "go.mod"))
		if noMakefile == nil && noModule == nil {
			return filepath.Join(dir, name), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf(
				"not inside the repository: no directory above has a Makefile and a go.mod")
		}
	}
}
