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
	"fmt"
	"slices"
	"sync"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// Namespaces are the namespaces of host capabilities in sessions.
var Namespaces = []string{"crypto", "kubernetes", "net", "oci"}

// Replay answers host calls from a session. The calls must be the recorded ones, in the same order.
// It is safe for concurrent use, but concurrent calls have no fixed order.
type Replay struct {
	mu   sync.Mutex
	left Session
}

// NewReplay returns the replay of a session from its beginning.
func NewReplay(session Session) *Replay { return &Replay{left: slices.Clone(session)} }

// Left returns the exchanges that were not used.
func (r *Replay) Left() Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.left)
}

// Rewind continues the replay with other remaining exchanges, such as an earlier result of
// [Replay.Left].
func (r *Replay) Rewind(left Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = slices.Clone(left)
}

// Capability returns a capability that answers the host calls of one namespace.
func (r *Replay) Capability(namespace string) capabilities.Capability {
	return &replayed{replay: r, namespace: namespace}
}

type replayed struct {
	replay    *Replay
	namespace string
}

// Call implements [capabilities.Capability].
func (r *replayed) Call(ctx context.Context, caller *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	request, err := RequestOf(r.namespace, operation, payload)
	if err != nil {
		return nil, &capabilities.FailedError{Err: &orderError{err.Error()}}
	}
	if err := granted(caller, request); err != nil {
		return nil, err
	}
	answer, err := r.replay.next(request)
	if e := (*orderError)(nil); errors.As(err, &e) {
		// The policy may hide the error.
		klog.FromContext(ctx).Error(err, "A recorded session does not fit", "policy", caller.Policy)
	}
	return answer, err
}

// Inventory returns the cluster data for a Rego policy that may read the kinds, or nil if there are
// none. It uses the lists in the session in any order, because hosts do not agree on one.
func (r *Replay) Inventory(kinds []abi.ContextAwareResource) abi.Inventory {
	if len(kinds) == 0 {
		return nil
	}
	taking := func(variant string) func(context.Context, abi.ContextAwareResource) ([]byte, error) {
		return func(_ context.Context, kind abi.ContextAwareResource) ([]byte, error) {
			return r.take(variant, kind)
		}
	}
	return &inventory{
		list:   taking(variantListAll),
		plural: taking(variantPluralName),
		kinds:  inOrder(kinds),
	}
}

// take answers the first request with a variant and kind at any position. It also removes further
// requests that hosts make.
func (r *Replay) take(variant string, kind abi.ContextAwareResource) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = slices.DeleteFunc(r.left, func(e Exchange) bool {
		return e.Request.Variant == variantHasChanged
	})
	n := slices.IndexFunc(r.left, func(e Exchange) bool {
		return e.Request.Variant == variant && e.Request.text("api_version") == kind.APIVersion &&
			e.Request.text("kind") == kind.Kind
	})
	if n < 0 {
		what := fmt.Sprintf("%s of %s/%s is not recorded", variant, kind.APIVersion, kind.Kind)
		if len(r.left) == 0 {
			what = "the list of recorded responses is empty: " + what
		}
		return nil, &orderError{what}
	}
	answer := r.left[n].Response
	r.left = slices.Delete(r.left, n, n+1)
	return answer.answer()
}

// granted returns an error if a policy may not read what it asks for.
func granted(caller *capabilities.Caller, request Request) error {
	if !slices.Contains([]string{variantListNamespace, variantListAll, variantGet},
		request.Variant) {
		return nil
	}
	resource := abi.ContextAwareResource{
		APIVersion: request.text("api_version"),
		Kind:       request.text("kind"),
	}
	if slices.Contains(caller.Resources, resource) {
		return nil
	}
	return fmt.Errorf("Policy has not been granted access to Kubernetes %s/%s resources. The violation has been reported.", resource.APIVersion, resource.Kind) //nolint:revive,staticcheck // the text that Kubewarden's users know
}

func (r *Replay) next(request Request) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.left) == 0 {
		return nil, &capabilities.FailedError{
			Err: &orderError{
				fmt.Sprintf("the list of recorded responses is empty: the policy asks for %s",
					request),
			},
		}
	}
	next := r.left[0]
	r.left = r.left[1:]
	if !next.Request.Equal(request) {
		return nil, &capabilities.FailedError{
			Err: &orderError{
				fmt.Sprintf("unexpected request: the policy asks for %s, and %s is recorded",
					request, next.Request),
			},
		}
	}
	return next.Response.answer()
}

// orderError says that a policy asks for something other than the recorded request.
type orderError struct{ problem string }

// Error returns the text that Kubewarden's users know.
func (e *orderError) Error() string { return "Replay error: " + e.problem }

// answer returns the recorded answer. The text of an error gets its prefix from
// [capabilities.FailedError].
func (r Response) answer() ([]byte, error) {
	if r.Failed {
		return nil, &capabilities.FailedError{Err: errors.New(r.Message)}
	}
	return []byte(r.Payload), nil
}
