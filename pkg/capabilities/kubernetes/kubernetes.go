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

// Package kubernetes answers what policies ask of the cluster: lists and single objects of
// kinds that they were granted, and whether somebody may do something.
//
// Every look is authorised for one configured user: the client that fetches the objects
// may be allowed everything, and nobody else must look through it. Lists come from
// caches that are kept up to date by watches. A cache starts when it is first wanted and
// stops when nothing uses it or when another needs its memory. It holds the objects as
// the JSON of a response and in no other form, so that a list that has not changed
// costs nothing to make.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/dynamic"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// The operations, and what a look for an inventory is called in metrics.
const (
	listAll         = "list_resources_all"
	listByNamespace = "list_resources_by_namespace"
	getResource     = "get_resource"
	canI            = "can_i"
	inventory       = "inventory"
)

// violationsPerSecond is how many violations of one policy are logged, with a burst of
// violationBurst.
const violationsPerSecond, violationBurst = 1, 10

// Defaults of [Options].
const (
	defaultMemoryBytes = 256 << 20
	defaultIdleTimeout = 10 * time.Minute
)

// Options are the parts that the capability works with.
type Options struct {
	// Client fetches, lists and watches objects. Required.
	Client dynamic.Interface
	// Discovery finds the resource of a kind. It should not cache. Required.
	Discovery Discovery
	// Authorizer decides what User may see, and answers can_i. nil means that the client
	// is the user and that the server decides by itself; can_i asks the server then.
	Authorizer authorizer.UnconditionalAuthorizer
	// User is whose eyes policies see with. Required with an Authorizer.
	User user.Info
	// MemoryBytes bounds what is held of the cluster, all caches together. 0 is
	// 256 MiB.
	MemoryBytes int64
	// IdleTimeout is how long a cache is kept that nothing uses. 0 is 10 minutes.
	IdleTimeout time.Duration
	// GetResource and CanI bound what is kept of the answers to these operations.
	GetResource, CanI AnswerCache
	// Recorder takes notes; nil discards them.
	Recorder Recorder
	// Clock is the time; nil is the real one.
	Clock clock.WithTicker
}

// Kubernetes answers the host calls of namespace kubernetes, and has the inventories of
// policies that cannot make host calls. It is safe for concurrent use.
type Kubernetes struct {
	options   Options
	mapping   *mapping
	decisions *decisions
	caches    *caches
	gets      recent[objectKey]
	reviews   recent[reviewKey]
	documents *documents
	// violations limit what is logged.
	violations *limiters
}

var (
	_ capabilities.Capability  = &Kubernetes{}
	_ capabilities.Inventories = &Kubernetes{}
)

// New returns the capability. Its caches end with ctx.
func New(ctx context.Context, options Options) (*Kubernetes, error) {
	switch {
	case options.Client == nil:
		return nil, errors.New("missing the client that looks at the cluster")
	case options.Discovery == nil:
		return nil, errors.New("missing the discovery of kinds")
	case options.Authorizer != nil && options.User == nil:
		return nil, errors.New("missing the user that policies look at the cluster as")
	}
	if options.MemoryBytes == 0 {
		options.MemoryBytes = defaultMemoryBytes
	}
	if options.IdleTimeout == 0 {
		options.IdleTimeout = defaultIdleTimeout
	}
	if options.Recorder == nil {
		options.Recorder = discard{}
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	p := &pool{limit: options.MemoryBytes, clock: options.Clock, recorder: options.Recorder, occupants: map[*occupant]struct{}{}}
	k := &Kubernetes{
		options:   options,
		mapping:   newMapping(options.Discovery, options.Clock),
		decisions: newDecisions(options.Authorizer, options.User, options.Clock),
		gets:      newRecent[objectKey](options.GetResource, options.Clock),
		reviews:   newRecent[reviewKey](options.CanI, options.Clock),
		documents: newDocuments(p),

		violations: newLimiters(violationsPerSecond, violationBurst),
	}
	k.caches = newCaches(ctx, options, p, k.mapping)
	go p.run(ctx, options.Clock.NewTicker(options.IdleTimeout/4), options.IdleTimeout)
	return k, nil
}

// Call implements [capabilities.Capability].
func (k *Kubernetes) Call(ctx context.Context, caller *capabilities.Caller, operation string, payload []byte) ([]byte, error) {
	call := map[string]func(context.Context, *capabilities.Caller, []byte) ([]byte, result, error){
		listAll: k.listAll, listByNamespace: k.listByNamespace, getResource: k.get, canI: k.canI,
	}[operation]
	if call == nil {
		return nil, fmt.Errorf("unknown operation: %s", operation)
	}
	answer, look, err := call(ctx, caller, payload)
	if err != nil {
		look = failure(err)
	}
	k.options.Recorder.CountLook(operation, string(look))
	if refused := (*refusal)(nil); err != nil && !errors.As(err, &refused) {
		err = &capabilities.FailedError{Err: err}
	}
	return answer, err
}

// refusal says that a call was not understood, or that the policy may not make it: the
// texts of these errors have nothing before them.
type refusal struct{ err error }

func (e *refusal) Error() string { return e.err.Error() }

func (e *refusal) Unwrap() error { return e.err }

// deniedError says that somebody may not see something.
type deniedError struct{ text string }

func (e *deniedError) Error() string { return e.text }

// failure says what became of a look that failed.
func failure(err error) result {
	if denied := (*deniedError)(nil); errors.As(err, &denied) {
		return resultDenied
	}
	return resultFailed
}

// granted returns the resource of a kind that the policy may read. The checks come in
// Kubewarden's order: what the policy was granted, and only then what there is.
func (k *Kubernetes) granted(ctx context.Context, caller *capabilities.Caller, apiVersion, kind string) (resource, error) {
	if !slices.Contains(caller.Resources, abi.ContextAwareResource{APIVersion: apiVersion, Kind: kind}) {
		return resource{}, k.notGranted(ctx, caller, apiVersion, kind, "name the kind in the policy's contextAwareResources if it may read it")
	}
	r, err := k.mapping.resolve(ctx, apiVersion, kind)
	if err != nil {
		return resource{}, err
	}
	if r.isSecret() && !caller.Secrets {
		return resource{}, k.notGranted(ctx, caller, apiVersion, kind, "Secrets need a grant of their own beside the policy's contextAwareResources")
	}
	return r, nil
}

// PluralName returns what the resource of a kind is called, such as "ingresses". The
// policy must have been granted the kind.
func (k *Kubernetes) PluralName(ctx context.Context, caller *capabilities.Caller, apiVersion, kind string) (string, error) {
	r, err := k.granted(ctx, caller, apiVersion, kind)
	return r.Resource, err
}

// notGranted reports a policy that wants what it was not granted. Not all of it is logged:
// a policy that is written wrongly does it for every request.
func (k *Kubernetes) notGranted(ctx context.Context, caller *capabilities.Caller, apiVersion, kind, remedy string) error {
	if now := k.options.Clock.Now(); k.violations.of(caller.Policy, now).AllowN(now, 1) {
		klog.FromContext(ctx).Error(nil, "Policy wanted to read a kind that it was not granted", "policy", caller.Policy,
			"apiVersion", apiVersion, "kind", kind, "remedy", remedy)
	}
	return &refusal{&deniedError{fmt.Sprintf("Policy has not been granted access to Kubernetes %s/%s resources. The violation has been reported.", apiVersion, kind)}}
}

// kindOf returns the resource that a request is about.
func (k *Kubernetes) kindOf(ctx context.Context, caller *capabilities.Caller, apiVersion, kind *string) (resource, error) {
	version, err := required("api_version", apiVersion)
	if err != nil {
		return resource{}, err
	}
	name, err := required("kind", kind)
	if err != nil {
		return resource{}, err
	}
	return k.granted(ctx, caller, version, name)
}
