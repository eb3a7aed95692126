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
	"errors"
	"slices"
	"sync"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// Recording takes down what policies ask, in the order in which they are answered. The
// zero value is empty and ready. It is safe for concurrent use.
type Recording struct {
	mu      sync.Mutex
	session Session
}

// Session returns what was taken down so far.
func (r *Recording) Session() Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.session)
}

// Capability returns what answers the host calls of one namespace as another capability
// does, and takes them down. Calls that are none are not: nothing would answer them in a
// replay either.
func (r *Recording) Capability(namespace string, of capabilities.Capability) capabilities.Capability {
	return &recorded{recording: r, namespace: namespace, Capability: of}
}

type recorded struct {
	capabilities.Capability
	recording *Recording
	namespace string
}

// Call implements [capabilities.Capability].
func (r *recorded) Call(ctx context.Context, caller *capabilities.Caller, operation string, payload []byte) ([]byte, error) {
	// Before the call: the payload is valid until it returns.
	request, invalid := RequestOf(r.namespace, operation, payload)
	answer, err := r.Capability.Call(ctx, caller, operation, payload)
	// What a policy may not ask is not what it was answered.
	if invalid != nil || granted(caller, request) != nil {
		return answer, err
	}
	e := Exchange{Request: request, Response: Response{Payload: string(answer)}}
	if err != nil {
		e.Response = Response{Failed: true, Message: err.Error()}
		if f := (*capabilities.FailedError)(nil); errors.As(err, &f) {
			e.Response.Message = f.Err.Error()
		}
	}
	r.recording.mu.Lock()
	defer r.recording.mu.Unlock()
	r.recording.session = append(r.recording.session, e)
	return answer, err
}
