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
	"errors"
	"slices"
	"sync"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// Recording records the host calls of policies in the order in which they are answered. The zero
// value is empty and ready to use. It is safe for concurrent use.
type Recording struct {
	mu      sync.Mutex
	session Session
	stopped bool
}

// Session returns the recorded session so far.
func (r *Recording) Session() Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.session)
}

// Stop stops the recording.
func (r *Recording) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

// Capability returns a capability that answers like another one and records the calls. It does not
// record invalid calls, because a replay could not answer them either.
func (r *Recording) Capability(namespace string,
	of capabilities.Capability) capabilities.Capability {
	return &recorded{recording: r, namespace: namespace, Capability: of}
}

type recorded struct {
	capabilities.Capability
	recording *Recording
	namespace string
}

// Call implements [capabilities.Capability].
func (r *recorded) Call(ctx context.Context, caller *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	// The payload is valid only until the call returns.
	request, invalid := RequestOf(r.namespace, operation, payload)
	answer, err := r.Capability.Call(ctx, caller, operation, payload)
	// A call without a grant gets no answer that could be recorded.
	if invalid == nil && granted(caller, request) == nil {
		r.recording.add(request, answer, err)
	}
	return answer, err
}

func (r *Recording) add(request Request, answer []byte, err error) {
	e := Exchange{Request: request, Response: Response{Payload: string(answer)}}
	if err != nil {
		e.Response = Response{Failed: true, Message: err.Error()}
		if f := (*capabilities.FailedError)(nil); errors.As(err, &f) {
			e.Response.Message = f.Err.Error()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped {
		r.session = append(r.session, e)
	}
}

// Cluster answers the host calls of namespace kubernetes, and knows the plural names of kinds.
// Implementations are safe for concurrent use.
type Cluster interface {
	capabilities.Capability
	// PluralName returns a plural name such as "ingresses". The caller must have been granted the
	// kind.
	PluralName(ctx context.Context, caller *capabilities.Caller, apiVersion,
		kind string) (string, error)
}

// Inventory returns the cluster data for a Rego policy, or nil if the policy may read no kinds. It
// records the data, as if the policy had asked for it.
func (r *Recording) Inventory(of Cluster, caller *capabilities.Caller) abi.Inventory {
	if len(caller.Resources) == 0 {
		return nil
	}
	calls := r.Capability("kubernetes", of)
	return &inventory{
		kinds: inOrder(caller.Resources),
		list: func(ctx context.Context, kind abi.ContextAwareResource) ([]byte, error) {
			payload, err := json.Marshal(map[string]string{
				"api_version": kind.APIVersion,
				"kind":        kind.Kind,
			})
			if err != nil {
				return nil, err
			}
			return calls.Call(ctx, caller, "list_resources_all", payload)
		},
		plural: func(ctx context.Context, kind abi.ContextAwareResource) ([]byte, error) {
			name, err := of.PluralName(ctx, caller, kind.APIVersion, kind.Kind)
			var answer []byte
			if err == nil {
				answer, err = json.Marshal(name)
			}
			fields := map[string]any{"api_version": kind.APIVersion, "kind": kind.Kind}
			r.add(Request{Variant: variantPluralName, Fields: fields}, answer, err)
			return answer, err
		},
	}
}
