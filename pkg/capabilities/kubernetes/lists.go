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

func (k *Kubernetes) listAll(ctx context.Context, caller *capabilities.Caller, payload []byte) ([]byte, Look, error) {
	request := listRequest{}
	s, m, err := k.selection(ctx, caller, payload, &request)
	if err != nil {
		return nil, "", err
	}
	if err := k.decisions.authorize(ctx, look{verb: "list", resource: s.resource}); err != nil {
		return nil, "", err
	}
	l, found, err := k.caches.list(ctx, s, m)
	if err != nil {
		return nil, "", err
	}
	return l.response, found, nil
}

// listByNamespace serves from the cache of all namespaces if the user may see them all:
// one watch serves every namespace then.
func (k *Kubernetes) listByNamespace(ctx context.Context, caller *capabilities.Caller, payload []byte) ([]byte, Look, error) {
	request := listRequest{}
	s, m, err := k.selection(ctx, caller, payload, &request)
	if err != nil {
		return nil, "", err
	}
	if request.Namespace == nil {
		return nil, "", missingField("namespace")
	}
	namespace, err := s.resource.namespace(request.Namespace)
	if err != nil {
		return nil, "", err
	}
	if k.decisions.allows(ctx, look{verb: "list", resource: s.resource}) {
		l, found, err := k.caches.list(ctx, s, m)
		if err == nil {
			return l.inNamespace(namespace), found, nil
		}
		if tooLarge := (*tooLargeError)(nil); !errors.As(err, &tooLarge) {
			return nil, "", err
		}
	}
	if err := k.decisions.authorize(ctx, look{verb: "list", resource: s.resource, namespace: namespace}); err != nil {
		return nil, "", err
	}
	s.namespace = namespace
	l, found, err := k.caches.list(ctx, s, m)
	if err != nil {
		return nil, "", err
	}
	return l.response, found, nil
}

// selection returns what a list request asks for in all namespaces.
func (k *Kubernetes) selection(ctx context.Context, caller *capabilities.Caller, payload []byte, request *listRequest) (s selection, m mask, err error) {
	if err := decode(payload, request); err != nil {
		return s, nil, err
	}
	if s.resource, err = k.kindOf(ctx, caller, request.APIVersion, request.Kind); err != nil {
		return s, nil, err
	}
	if s.label, s.field, err = request.selectors(); err != nil {
		return s, nil, err
	}
	m, s.mask, err = parseMask(request.FieldMasks)
	return s, m, err
}
