//go:build !wasip1

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

package policytest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Host takes the place of a policy's host.
type Host struct {
	// Objects are the objects in the cluster: anything that encodes to JSON with an apiVersion, a
	// kind and metadata. They answer get_resource and, unless it has a selector, lists.
	Objects []any
	// Calls answer host calls, keyed by names such as "net/v1/dns_lookup_host". They take
	// precedence over Objects. Answers are encoded to JSON. All other calls fail.
	Calls map[string]func(payload json.RawMessage) (answer any, err error)
	// Logs are the records that the policy has logged, in JSON.
	Logs []json.RawMessage
}

func (h *Host) call(namespace, operation string, payload []byte) ([]byte, error) {
	path := namespace + "/" + operation
	if answer, found := h.Calls[path]; found {
		value, err := answer(payload)
		if err != nil {
			return nil, err
		}
		return json.Marshal(value)
	}
	switch path {
	case "tracing/log":
		h.Logs = append(h.Logs, payload)
		return nil, nil
	case "kubernetes/get_resource", "kubernetes/list_resources_all",
		"kubernetes/list_resources_by_namespace":
		return h.look(operation, payload)
	}
	return nil, fmt.Errorf("%s: no answer is known: add one to Host.Calls", path)
}

// object has the fields that identify an object.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

func (h *Host) look(operation string, payload []byte) ([]byte, error) {
	var request struct {
		APIVersion    string `json:"api_version"`
		Kind          string `json:"kind"`
		Name          string `json:"name"`
		Namespace     string `json:"namespace"`
		LabelSelector string `json:"label_selector"`
		FieldSelector string `json:"field_selector"`
	}
	if err := json.Unmarshal(payload, &request); err != nil {
		return nil, err
	}
	if request.LabelSelector != "" || request.FieldSelector != "" {
		return nil, errors.New("selectors are not evaluated here: add an answer to Host.Calls")
	}
	items := []json.RawMessage{}
	for _, o := range h.Objects {
		text := encode(o)
		var found object
		if err := json.Unmarshal(text, &found); err != nil {
			return nil, err
		}
		inNamespace := request.Namespace == found.Metadata.Namespace ||
			operation == "list_resources_all"
		if found.APIVersion != request.APIVersion || found.Kind != request.Kind || !inNamespace {
			continue
		}
		if operation == "get_resource" && found.Metadata.Name == request.Name {
			return text, nil
		}
		items = append(items, text)
	}
	if operation == "get_resource" {
		return nil, fmt.Errorf("Cannot find %s/%s named '%s' inside of namespace '%s'", //nolint:staticcheck // the text that Kubewarden's users know
			request.APIVersion, request.Kind, request.Name, request.Namespace)
	}
	return json.Marshal(map[string]any{
		"apiVersion": request.APIVersion, "kind": request.Kind + "List",
		"metadata": map[string]any{}, "items": items,
	})
}
