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

package session

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// Inventory returns what a policy in Rego is given of the resources, nil if they are none.
// It is taken from the lists in the session, which hosts do not ask for in one order.
func (r *Replay) Inventory(resources []abi.ContextAwareResource) abi.Inventory {
	if len(resources) == 0 {
		return nil
	}
	return &inventory{replay: r, resources: resources}
}

// inventory makes its document once.
type inventory struct {
	replay    *Replay
	resources []abi.ContextAwareResource

	once     sync.Once
	document []byte
	err      error
}

// Inventory implements [abi.Inventory].
func (i *inventory) Inventory(_ context.Context, mode abi.ExecutionMode) ([]byte, uint64, error) {
	i.once.Do(func() { i.document, i.err = i.build(mode) })
	return i.document, 1, i.err
}

func (i *inventory) build(mode abi.ExecutionMode) ([]byte, error) {
	document := map[string]any{}
	for _, resource := range i.resources {
		objects, err := i.replay.list(resource)
		if err != nil {
			return nil, err
		}
		plural := ""
		if mode == abi.ExecutionModeOPA {
			if plural, err = i.replay.plural(resource); err != nil {
				return nil, err
			}
		}
		for _, object := range objects {
			path, err := place(mode, resource, plural, object)
			if err == nil {
				err = put(document, path, object)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(document)
}

// place is where an object is in the document of a mode.
func place(mode abi.ExecutionMode, resource abi.ContextAwareResource, plural string, object json.RawMessage) ([]string, error) {
	var of struct {
		Metadata struct{ Name, Namespace string } `json:"metadata"`
	}
	if err := json.Unmarshal(object, &of); err != nil || of.Metadata.Name == "" {
		return nil, fmt.Errorf("an object in the recorded list of %s/%s has no name", resource.APIVersion, resource.Kind)
	}
	name, namespace := of.Metadata.Name, of.Metadata.Namespace
	switch {
	case mode == abi.ExecutionModeOPA && namespace == "":
		return []string{plural, name}, nil
	case mode == abi.ExecutionModeOPA:
		return []string{plural, namespace, name}, nil
	case namespace == "":
		return []string{"cluster", resource.APIVersion, resource.Kind, name}, nil
	}
	return []string{"namespace", namespace, resource.APIVersion, resource.Kind, name}, nil
}

// put puts an object at a path of a document.
func put(document map[string]any, path []string, object json.RawMessage) error {
	at := document
	for _, name := range path[:len(path)-1] {
		next, found := at[name]
		if !found {
			next = map[string]any{}
			at[name] = next
		}
		var ok bool
		if at, ok = next.(map[string]any); !ok {
			return fmt.Errorf("two recorded kinds are both at %s, one in namespaces and one not", strings.Join(path, "."))
		}
	}
	last := path[len(path)-1]
	if _, isObject := at[last].(map[string]any); isObject {
		return fmt.Errorf("two recorded kinds are both at %s, one in namespaces and one not", strings.Join(path, "."))
	}
	at[last] = object
	return nil
}

// list returns the recorded objects of a kind.
func (r *Replay) list(resource abi.ContextAwareResource) ([]json.RawMessage, error) {
	payload, err := r.take(variantListAll, resource)
	if err != nil {
		return nil, err
	}
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(payload, &list); err != nil {
		return nil, fmt.Errorf("the recorded list of %s/%s is none: %w", resource.APIVersion, resource.Kind, err)
	}
	return list.Items, nil
}

// plural returns the recorded name of a kind's resource.
func (r *Replay) plural(resource abi.ContextAwareResource) (string, error) {
	payload, err := r.take(variantPluralName, resource)
	if err != nil {
		return "", err
	}
	var name string
	if json.Unmarshal(payload, &name) != nil {
		name = string(payload)
	}
	if name == "" {
		return "", fmt.Errorf("the recorded plural name of %s/%s is empty", resource.APIVersion, resource.Kind)
	}
	return name, nil
}

// take answers the first request of a variant for a kind, wherever it is, and removes what
// hosts ask beside it.
func (r *Replay) take(variant string, resource abi.ContextAwareResource) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = slices.DeleteFunc(r.left, func(e Exchange) bool { return e.Request.Variant == variantHasChanged })
	n := slices.IndexFunc(r.left, func(e Exchange) bool {
		return e.Request.Variant == variant && e.Request.text("api_version") == resource.APIVersion && e.Request.text("kind") == resource.Kind
	})
	if n < 0 {
		what := fmt.Sprintf("%s of %s/%s is not recorded", variant, resource.APIVersion, resource.Kind)
		if len(r.left) == 0 {
			what = "the list of recorded responses is empty: " + what
		}
		return nil, &capabilities.FailedError{Err: &orderError{what}}
	}
	answer := r.left[n].Response
	r.left = slices.Delete(r.left, n, n+1)
	return answer.answer()
}
