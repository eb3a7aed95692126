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

package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/kubeconfig"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/session"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/kubernetes"
)

var _ session.Cluster = &cluster{}

// cluster answers for the cluster of a kubeconfig, which is read when a policy first looks.
type cluster struct {
	connect func() (*kubernetes.Kubernetes, error)
}

func newCluster(kubeconfig string) *cluster {
	return &cluster{sync.OnceValues(func() (*kubernetes.Kubernetes, error) { return connect(kubeconfig) })}
}

// connect returns what looks at the cluster as the kubeconfig's user: the server decides
// what that one may see. Without a usable kubeconfig it is what refuses all that is refused
// without looking, such as what the policy was not granted, and fails at the look.
func connect(kubeconfig string) (*kubernetes.Kubernetes, error) {
	options, err := clients(kubeconfig)
	if err != nil {
		options, err = clientsOf(&rest.Config{Transport: &unreachableError{err}})
	}
	if err != nil {
		return nil, err
	}
	// Its caches live as long as the command.
	return kubernetes.New(context.Background(), options)
}

func clients(path string) (kubernetes.Options, error) {
	config, err := kubeconfig.Load(path)
	if err != nil {
		return kubernetes.Options{}, fmt.Errorf("the policy looks at the cluster, and there is no usable kubeconfig (name one with --kubeconfig or in KUBECONFIG, or replay a session): %w", err)
	}
	return clientsOf(config)
}

func clientsOf(config *rest.Config) (kubernetes.Options, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return kubernetes.Options{}, fmt.Errorf("making a client of the kubeconfig: %w", err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return kubernetes.Options{}, fmt.Errorf("making a client of the kubeconfig: %w", err)
	}
	return kubernetes.Options{Client: client, Discovery: kinds}, nil
}

// unreachableError says why there is no way to the cluster. As an [http.RoundTripper] it is
// the answer to every request.
type unreachableError struct{ error }

// Unwrap returns the error underneath.
func (e *unreachableError) Unwrap() error { return e.error }

// RoundTrip implements [http.RoundTripper].
func (e *unreachableError) RoundTrip(*http.Request) (*http.Response, error) { return nil, e }

// plain returns why there is no way to the cluster, if an error comes from that, without
// the request around it that was never made.
func plain(err error) error {
	if unreachable := (*unreachableError)(nil); errors.As(err, &unreachable) {
		return unreachable
	}
	return err
}

// Call implements [capabilities.Capability].
func (c *cluster) Call(ctx context.Context, caller *capabilities.Caller, operation string, payload []byte) ([]byte, error) {
	k, err := c.connect()
	if err != nil {
		return nil, &capabilities.FailedError{Err: err}
	}
	answer, err := k.Call(ctx, caller, operation, payload)
	if failed := (*capabilities.FailedError)(nil); errors.As(err, &failed) {
		err = &capabilities.FailedError{Err: plain(failed.Err)}
	}
	return answer, err
}

// PluralName implements [session.Cluster].
func (c *cluster) PluralName(ctx context.Context, caller *capabilities.Caller, apiVersion, kind string) (string, error) {
	k, err := c.connect()
	if err != nil {
		return "", err
	}
	name, err := k.PluralName(ctx, caller, apiVersion, kind)
	return name, plain(err)
}

// inventory returns what a policy in Rego is given of the resources, nil if they are none.
func (c *cluster) inventory(resources []abi.ContextAwareResource) abi.Inventory {
	if len(resources) == 0 {
		return nil
	}
	return &liveInventory{cluster: c, caller: capabilities.Caller{Resources: resources, Secrets: true}}
}

type liveInventory struct {
	cluster *cluster
	caller  capabilities.Caller
	once    sync.Once
	of      abi.Inventory
	err     error
}

// Inventory implements [abi.Inventory].
func (i *liveInventory) Inventory(ctx context.Context, mode abi.ExecutionMode) ([]byte, uint64, error) {
	i.once.Do(func() {
		var k *kubernetes.Kubernetes
		if k, i.err = i.cluster.connect(); i.err == nil {
			i.of = k.Inventory(&i.caller)
		}
	})
	if i.err != nil {
		return nil, 0, i.err
	}
	document, generation, err := i.of.Inventory(ctx, mode)
	return document, generation, plain(err)
}
