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

package kubernetes

import (
	"context"
	"errors"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// query is a parsed list request.
type query struct {
	// selection is the set of objects to watch, in all namespaces. choice selects from these
	// objects here.
	selection
	mask   mask
	choice *choice
	// labelSelector and fieldSelector come from the request.
	labelSelector, fieldSelector string
}

// narrowed returns the query with the selectors applied by the server, which needs less memory.
func (q query) narrowed() query {
	q.label, q.field, q.choice = q.labelSelector, q.fieldSelector, nil
	return q
}

func (k *Kubernetes) listAll(ctx context.Context, caller *capabilities.Caller,
	payload []byte) ([]byte, result, error) {
	request := listRequest{}
	q, err := k.query(ctx, caller, payload, &request)
	if err != nil {
		return nil, "", err
	}
	if err := k.decisions.authorize(ctx, access{verb: "list", resource: q.resource}); err != nil {
		return nil, "", err
	}
	return q.answer(func(q query) ([]byte, result, error) {
		return k.caches.choose(ctx, caller.Policy, q, "")
	})
}

// listByNamespace uses the cache of all namespaces if the user may list all of them. One watch then
// serves every namespace.
func (k *Kubernetes) listByNamespace(ctx context.Context, caller *capabilities.Caller,
	payload []byte) ([]byte, result, error) {
	request := listRequest{}
	q, err := k.query(ctx, caller, payload, &request)
	if err != nil {
		return nil, "", err
	}
	if request.Namespace == nil {
		return nil, "", missingField("namespace")
	}
	namespace, err := q.resource.namespace(request.Namespace)
	if err != nil {
		return nil, "", err
	}
	if k.decisions.allows(ctx, access{verb: "list", resource: q.resource}) {
		response, found, err := q.answer(func(q query) ([]byte, result, error) {
			return k.caches.choose(ctx, caller.Policy, q, namespace)
		})
		if !isTooLarge(err) {
			return response, found, err
		}
	}
	if err := k.decisions.authorize(ctx,
		access{verb: "list", resource: q.resource, namespace: namespace}); err != nil {
		return nil, "", err
	}
	q.namespace = namespace
	return q.answer(func(q query) ([]byte, result, error) {
		return k.caches.choose(ctx, caller.Policy, q, "")
	})
}

// answer asks for all objects and chooses from them. If they do not fit into memory, it asks for
// the objects that the server selects.
func (q query) answer(ask func(query) ([]byte, result, error)) ([]byte, result, error) {
	response, found, err := ask(q)
	if q.choice != nil && isTooLarge(err) {
		return ask(q.narrowed())
	}
	return response, found, err
}

func isTooLarge(err error) bool {
	tooLarge := (*tooLargeError)(nil)
	return errors.As(err, &tooLarge)
}

// query parses a list request and returns its query for all namespaces. Without an authorizer, the
// server decides what the user may read, so the query asks for no more than the request does. With
// one, a user who may list a kind may list all of it, so the selector is applied here.
func (k *Kubernetes) query(ctx context.Context, caller *capabilities.Caller, payload []byte,
	request *listRequest) (q query, err error) {
	if err := decode(payload, request); err != nil {
		return q, err
	}
	if q.resource, err = k.kindOf(ctx, caller, request.APIVersion, request.Kind); err != nil {
		return q, err
	}
	if q.labelSelector, q.fieldSelector, err = request.selectors(); err != nil {
		return q, err
	}
	if q.mask, q.selection.mask, err = parseMask(request.FieldMasks); err != nil {
		return q, err
	}
	if q.labelSelector+q.fieldSelector == "" {
		return q, nil
	}
	if k.decisions.authorizer == nil {
		return q.narrowed(), nil
	}
	here := q.fieldSelector
	if !appliesHere(q.fieldSelector, &q.resource) {
		here, q.field = "", q.fieldSelector
	}
	if q.labelSelector+here == "" {
		return q, nil
	}
	if q.choice, err = newChoice(q.labelSelector, here); err != nil || q.choice == nil {
		return q.narrowed(), err
	}
	return q, nil
}
