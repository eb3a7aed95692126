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

// Package kubernetes implements the host capability kubernetes. It answers lists and single objects
// of the kinds that a policy may read, and tells whether somebody may do something.
//
// Every read is authorized for one configured user, because the client that fetches the objects may
// have all permissions, which must not become available to policies. Lists come from caches that
// watches keep up to date. A cache starts with its first use. It stops when it is idle, or when
// another cache needs its memory. A cache holds its objects only as the JSON of a response, so that
// an unchanged list costs nothing.
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

// The operations, and the name of inventory reads in metrics.
const (
	listAll         = "list_resources_all"
	listByNamespace = "list_resources_by_namespace"
	getResource     = "get_resource"
	canI            = "can_i"
	inventory       = "inventory"
)

// violationsPerSecond is the number of violations logged per second and policy, with a burst of
// violationBurst.
const violationsPerSecond, violationBurst = 1, 10

// Defaults of [Options].
const (
	defaultMemoryBytes = 256 << 20
	defaultIdleTimeout = 10 * time.Minute
)

// Options are the dependencies and limits of the capability.
type Options struct {
	// Client fetches, lists and watches objects. It is required.
	Client dynamic.Interface
	// Discovery finds the resource of a kind. It should not cache. It is required.
	Discovery Discovery
	// Authorizer decides what User may read, and answers can_i. If it is nil, the server authorizes
	// the client itself, and also answers can_i.
	Authorizer authorizer.UnconditionalAuthorizer
	// User is the user that reads for policies. It is required with an Authorizer.
	User user.Info
	// MemoryBytes limits the cluster data in all caches together. The default for 0 is 256 MiB.
	MemoryBytes int64
	// IdleTimeout is how long an unused cache lives. The default for 0 is 10 minutes.
	IdleTimeout time.Duration
	// GetResource and CanI bound the cached answers of these operations.
	GetResource, CanI AnswerCache
	// Recorder records metrics. Nil discards them.
	Recorder Recorder
	// Clock is the source of time. Nil is the real clock.
	Clock clock.WithTicker
}

// Kubernetes answers the host calls of namespace kubernetes, and provides the inventories of
// policies that cannot make host calls. It is safe for concurrent use.
type Kubernetes struct {
	options   Options
	mapping   *mapping
	decisions *decisions
	caches    *caches
	gets      recent[objectKey]
	reviews   recent[reviewKey]
	documents *documents
	// violations limits the rate of logged violations.
	violations *limiters
}

var (
	_ capabilities.Capability  = &Kubernetes{}
	_ capabilities.Inventories = &Kubernetes{}
)

// New returns the capability. Its caches stop when ctx ends.
func New(ctx context.Context, options Options) (*Kubernetes, error) {
	switch {
	case options.Client == nil:
		return nil, errors.New("missing the client that reads the cluster")
	case options.Discovery == nil:
		return nil, errors.New("missing the discovery client")
	case options.Authorizer != nil && options.User == nil:
		return nil, errors.New("missing the user as whom policies read the cluster")
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
	p := &pool{
		limit:     options.MemoryBytes,
		clock:     options.Clock,
		recorder:  options.Recorder,
		occupants: map[*occupant]struct{}{},
	}
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
func (k *Kubernetes) Call(ctx context.Context, caller *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
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

// refusal says that a call was invalid, or that the policy may not make it. Its text has no prefix.
type refusal struct{ err error }

func (e *refusal) Error() string { return e.err.Error() }

func (e *refusal) Unwrap() error { return e.err }

// deniedError says that the user may not read something.
type deniedError struct{ text string }

func (e *deniedError) Error() string { return e.text }

// failure returns the result that an error counts as.
func failure(err error) result {
	if denied := (*deniedError)(nil); errors.As(err, &denied) {
		return resultDenied
	}
	return resultFailed
}

// granted returns the resource of a kind that the policy may read. It checks in Kubewarden's order:
// first whether the policy was granted the kind, then whether the kind exists.
func (k *Kubernetes) granted(ctx context.Context, caller *capabilities.Caller, apiVersion,
	kind string) (resource, error) {
	if !slices.Contains(caller.Resources,
		abi.ContextAwareResource{APIVersion: apiVersion, Kind: kind}) {
		return resource{}, k.notGranted(ctx, caller, apiVersion, kind,
			"name the kind in the policy's contextAwareResources if it may read it")
	}
	r, err := k.mapping.resolve(ctx, apiVersion, kind)
	if err != nil {
		return resource{}, err
	}
	if r.isSecret() && !caller.Secrets {
		return resource{}, k.notGranted(ctx, caller, apiVersion, kind,
			"Secrets need a separate grant in addition to the policy's contextAwareResources")
	}
	return r, nil
}

// PluralName returns the plural name of a kind's resource, such as "ingresses". The policy must
// have been granted the kind.
func (k *Kubernetes) PluralName(ctx context.Context, caller *capabilities.Caller, apiVersion,
	kind string) (string, error) {
	r, err := k.granted(ctx, caller, apiVersion, kind)
	return r.Resource, err
}

// notGranted logs that a policy wants to read a kind without a grant. The log is rate limited,
// because a faulty policy does this for every request.
func (k *Kubernetes) notGranted(ctx context.Context, caller *capabilities.Caller, apiVersion, kind,
	remedy string) error {
	if now := k.options.Clock.Now(); k.violations.of(caller.Policy, now).AllowN(now, 1) {
		klog.FromContext(ctx).Error(nil, "Policy wanted to read a kind that it was not granted",
			"policy", caller.Policy, "apiVersion", apiVersion, "kind", kind, "remedy", remedy)
	}
	return &refusal{
		&deniedError{
			fmt.Sprintf(
				"Policy has not been granted access to Kubernetes %s/%s resources. The violation has been reported.",
				apiVersion, kind),
		},
	}
}

// kindOf returns the resource that a request names.
func (k *Kubernetes) kindOf(ctx context.Context, caller *capabilities.Caller, apiVersion,
	kind *string) (resource, error) {
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
