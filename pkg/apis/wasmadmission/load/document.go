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

package load

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

// toJSON returns the only document in data as JSON. Data that begins with "{" must be JSON: the
// decoder of apimachinery expects that.
func (k *kind) toJSON(data []byte) ([]byte, error) {
	var document json.RawMessage
	if yaml.IsJSONBuffer(data) {
		if err := json.Unmarshal(data, &document); err != nil {
			return nil, fmt.Errorf(
				"%s begins with { and is not one valid JSON object: %w", k.file, err)
		}
		return document, nil
	}
	if err := k.checkSoleDocument(data); err != nil {
		return nil, err
	}
	// The decoder parses the data again. This check bounds that too.
	err := strictyaml.CheckExpansion(data)
	if err == nil {
		err = yaml.Unmarshal(data, &document)
	}
	if err != nil {
		problem := strings.TrimPrefix(strings.TrimPrefix(strictyaml.WithLine(err).Error(),
			"error converting YAML to JSON: "), "yaml: ")
		return nil, fmt.Errorf("%s is not valid YAML: %s", k.file, problem)
	}
	return document, nil
}

// checkSoleDocument rejects a YAML stream with no document or with several. The parser would read
// the first and silently ignore the rest.
func (k *kind) checkSoleDocument(data []byte) error {
	switch strictyaml.Count(data, 2) {
	case 0:
		return fmt.Errorf("%s is empty: write a %s", k.file, k.name)
	case 1:
		return nil
	}
	return fmt.Errorf("%s contains more than one YAML document: put all policies into one", k.file)
}
