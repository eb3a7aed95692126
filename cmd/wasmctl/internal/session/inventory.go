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
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// inventory is the cluster data for a Rego policy. It builds its document once, from the objects of
// each kind and, for OPA policies, from the plural names of the kinds. It asks for all lists first,
// as Kubewarden's hosts do.
type inventory struct {
	// list returns all objects of a kind, as a host call does. plural returns the plural name of
	// the kind's resource in JSON.
	list, plural func(ctx context.Context, kind abi.ContextAwareResource) ([]byte, error)
	kinds        []abi.ContextAwareResource

	once     sync.Once
	document []byte
	err      error
}

// inOrder returns the kinds in the order in which Kubewarden's hosts ask for them, without
// duplicates.
func inOrder(kinds []abi.ContextAwareResource) []abi.ContextAwareResource {
	return slices.Compact(slices.SortedFunc(slices.Values(kinds),
		func(a, b abi.ContextAwareResource) int {
			return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind))
		}))
}

// Inventory implements [abi.Inventory].
func (i *inventory) Inventory(ctx context.Context, mode abi.ExecutionMode) ([]byte, uint64, error) {
	i.once.Do(func() {
		i.document, i.err = i.build(ctx, mode)
		// The policy made no host call, so the error must not look like that of one.
		if failed := (*capabilities.FailedError)(nil); errors.As(i.err, &failed) {
			i.err = failed.Err
		}
	})
	return i.document, 1, i.err
}

func (i *inventory) build(ctx context.Context, mode abi.ExecutionMode) ([]byte, error) {
	all, err := i.objects(ctx)
	if err != nil {
		return nil, err
	}
	document := map[string]any{}
	if mode == abi.ExecutionModeGatekeeper {
		document["cluster"], document["namespace"] = map[string]any{}, map[string]any{}
	}
	for n, kind := range i.kinds {
		plural := ""
		if mode == abi.ExecutionModeOPA {
			if plural, err = i.pluralName(ctx, kind); err != nil {
				return nil, err
			}
			if document[plural] == nil {
				document[plural] = map[string]any{}
			}
		}
		for _, object := range all[n] {
			path, err := place(mode, kind, plural, object)
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

// objects returns the objects of each kind.
func (i *inventory) objects(ctx context.Context) ([][]json.RawMessage, error) {
	all := make([][]json.RawMessage, len(i.kinds))
	for n, kind := range i.kinds {
		payload, err := i.list(ctx, kind)
		if err != nil {
			return nil, err
		}
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal(payload, &list); err != nil {
			return nil, fmt.Errorf(
				"the list of %s/%s is invalid: %w", kind.APIVersion, kind.Kind, err)
		}
		all[n] = list.Items
	}
	return all, nil
}

// pluralName returns the plural name of a kind's resource.
func (i *inventory) pluralName(ctx context.Context, kind abi.ContextAwareResource) (string, error) {
	payload, err := i.plural(ctx, kind)
	if err != nil {
		return "", err
	}
	var name string
	if json.Unmarshal(payload, &name) != nil {
		name = string(payload)
	}
	if name == "" {
		return "", fmt.Errorf("the plural name of %s/%s is empty", kind.APIVersion, kind.Kind)
	}
	return name, nil
}

// place returns the path of an object in the document of a mode.
func place(mode abi.ExecutionMode, kind abi.ContextAwareResource, plural string,
	object json.RawMessage) ([]string, error) {
	var of struct {
		Metadata struct{ Name, Namespace string } `json:"metadata"`
	}
	if err := json.Unmarshal(object, &of); err != nil || of.Metadata.Name == "" {
		return nil, fmt.Errorf(
			"an object in the list of %s/%s has no name", kind.APIVersion, kind.Kind)
	}
	name, namespace := of.Metadata.Name, of.Metadata.Namespace
	switch {
	case mode == abi.ExecutionModeOPA && namespace == "":
		return []string{plural, name}, nil
	case mode == abi.ExecutionModeOPA:
		return []string{plural, namespace, name}, nil
	case namespace == "":
		return []string{"cluster", kind.APIVersion, kind.Kind, name}, nil
	}
	return []string{"namespace", namespace, kind.APIVersion, kind.Kind, name}, nil
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
			return fmt.Errorf("two kinds share the path %s, but only one of them is namespaced",
				strings.Join(path, "."))
		}
	}
	last := path[len(path)-1]
	if _, isObject := at[last].(map[string]any); isObject {
		return fmt.Errorf("two kinds share the path %s, but only one of them is namespaced",
			strings.Join(path, "."))
	}
	at[last] = object
	return nil
}
