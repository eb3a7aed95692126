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

// Package wasi helps to write Kubewarden policies as WASI
// commands. The operation is the first argument, the payload comes
// on standard input, and the standard output is the response.
package wasi

import (
	"errors"
	"io"
	"os"
)

// Run runs a policy and does not return. An error is a failure
// of the policy, which the host reports with the error's text.
func Run(validate, validateSettings func(payload string) (answer string, err error)) {
	answer, err := run(validate, validateSettings)
	if err == nil {
		_, err = os.Stdout.WriteString(answer)
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

func run(validate, validateSettings func(string) (string, error)) (string, error) {
	if len(os.Args) != 2 {
		return "", errors.New("the policy wants one argument: validate or validate-settings")
	}
	// Read all input before the first host call, because answers follow the payload.
	payload, err := io.ReadAll(os.Stdin)
	if err != nil {
		return "", err
	}
	switch os.Args[1] {
	case "validate":
		return validate(string(payload))
	case "validate-settings":
		return validateSettings(string(payload))
	}
	return "", errors.New("unknown operation " + os.Args[1])
}

// HostCall calls a host capability. An error has the host's text.
func HostCall(binding, namespace, operation, payload string) (string, error) {
	failed := hostCall(binding, namespace, operation, payload)
	answer, err := io.ReadAll(os.Stdin)
	if err != nil {
		return "", err
	}
	if failed {
		return "", errors.New(string(answer))
	}
	return string(answer), nil
}
