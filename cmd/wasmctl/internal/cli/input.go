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
	"io"
	"os"
	"strings"
)

// maxInputBytes bounds the size of a request, settings or manifests. It exceeds what a server
// accepts.
const maxInputBytes = 64 << 20

// inFile puts the file name before each line of an error.
func inFile(name string, err error) error {
	return errors.New(name + ": " + strings.ReplaceAll(err.Error(), "\n", "\n"+name+": "))
}

// inputName returns the name of an input for messages.
func inputName(path string) string {
	if path == "-" {
		return "the standard input"
	}
	return path
}

// read reads a file, or the standard input if the path is "-".
func (c *command) read(path string) ([]byte, error) {
	reader := c.In
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // it was only read
		reader = file
	}
	return readAll(reader, path, maxInputBytes)
}

// readUpTo reads a file of bounded size.
func readUpTo(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	return readAll(file, path, most)
}

func readAll(reader io.Reader, path string, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(reader, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return data, err
}
