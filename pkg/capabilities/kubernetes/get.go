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
	"encoding/json"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// objectKey identifies the object of an answer.
type objectKey struct {
	resource
	namespace, name string
}

// size implements [question]. The names of the resource do not count, because the mapping owns
// them.
func (k objectKey) size() int64 { return int64(len(k.namespace) + len(k.name)) }

// get answers get_resource. It returns one object, from the cache or from the server.
func (k *Kubernetes) get(ctx context.Context, caller *capabilities.Caller,
	payload []byte) ([]byte, result, error) {
	request := getRequest{}
	if err := decode(payload, &request); err != nil {
		return nil, "", err
	}
	r, err := k.kindOf(ctx, caller, request.APIVersion, request.Kind)
	if err != nil {
		return nil, "", err
	}
	key := objectKey{resource: r}
	if key.name, err = required("name", request.Name); err != nil {
		return nil, "", err
	}
	if err := pathSegment("name", key.name); err != nil {
		return nil, "", err
	}
	if key.namespace, err = r.namespace(request.Namespace); err != nil {
		return nil, "", err
	}
	m, _, err := parseMask(request.FieldMasks)
	if err != nil {
		return nil, "", err
	}
	if err := k.decisions.authorize(ctx,
		access{verb: "get", resource: r, namespace: key.namespace, name: key.name}); err != nil {
		return nil, "", err
	}
	object, found, err := k.gets.get(ctx, key, request.DisableCache,
		func(ctx context.Context) ([]byte, error) {
			return k.fetch(ctx, key)
		})
	if err == nil && m != nil {
		object, err = masked(object, m)
	}
	return object, found, err
}

// fetch fetches an object from the server.
func (k *Kubernetes) fetch(ctx context.Context, key objectKey) ([]byte, error) {
	var client dynamic.ResourceInterface = k.options.Client.Resource(key.GroupVersionResource)
	if key.namespaced {
		client = k.options.Client.Resource(key.GroupVersionResource).Namespace(key.namespace)
	}
	object, err := client.Get(ctx, key.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		k.mapping.markStale(ctx, &key.resource)
		return nil, fmt.Errorf("Cannot find %s named '%s' inside of namespace '%s'", &key.resource, key.name, key.option()) //nolint:staticcheck // the text that Kubewarden's users know
	case err != nil:
		return nil, fmt.Errorf("getting %s named %q: %w", &key.resource, key.name, err)
	}
	return marshal(object.Object)
}

// option formats the namespace like Rust's Option, as Kubewarden's users know it.
func (k *objectKey) option() string {
	if k.namespace == "" {
		return "None"
	}
	return "Some(" + strconv.Quote(k.namespace) + ")"
}

// masked returns an object's JSON without the fields outside the mask.
func masked(object []byte, m mask) ([]byte, error) {
	var fields map[string]any
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	m.apply(fields)
	return marshal(fields)
}
