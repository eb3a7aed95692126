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

// cluster answers for the cluster of a kubeconfig. It reads the kubeconfig when a policy first
// needs it.
type cluster struct {
	connect func() (*kubernetes.Kubernetes, error)
}

func newCluster(kubeconfig string) *cluster {
	return &cluster{
		sync.OnceValues(func() (*kubernetes.Kubernetes, error) { return connect(kubeconfig) }),
	}
}

// connect returns a capability that reads the cluster as the kubeconfig's user, whom the server
// authorizes. Without a usable kubeconfig, the returned capability still makes all checks that need
// no cluster, such as for missing grants. It fails when it would ask the cluster.
func connect(kubeconfig string) (*kubernetes.Kubernetes, error) {
	options, err := clients(kubeconfig)
	if err != nil {
		options, err = clientsOf(&rest.Config{Transport: &unreachableError{err}})
	}
	if err != nil {
		return nil, err
	}
	// The caches live as long as the command.
	return kubernetes.New(context.Background(), options)
}

func clients(path string) (kubernetes.Options, error) {
	config, err := kubeconfig.Load(path)
	if err != nil {
		return kubernetes.Options{}, fmt.Errorf(
			"the policy reads the cluster, but there is no usable kubeconfig (name one with --kubeconfig or in KUBECONFIG, or replay a session): %w",
			err)
	}
	return clientsOf(config)
}

func clientsOf(config *rest.Config) (kubernetes.Options, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return kubernetes.Options{}, fmt.Errorf("creating a client from the kubeconfig: %w", err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return kubernetes.Options{}, fmt.Errorf("creating a client from the kubeconfig: %w", err)
	}
	return kubernetes.Options{Client: client, Discovery: kinds}, nil
}

// unreachableError says why the cluster cannot be reached. As an [http.RoundTripper], it fails
// every request with that error.
type unreachableError struct{ error }

// Unwrap returns the underlying error.
func (e *unreachableError) Unwrap() error { return e.error }

// RoundTrip implements [http.RoundTripper].
func (e *unreachableError) RoundTrip(*http.Request) (*http.Response, error) { return nil, e }

// plain returns the unreachableError inside an error, if there is one, without the text about a
// request that was never sent.
func plain(err error) error {
	if unreachable := (*unreachableError)(nil); errors.As(err, &unreachable) {
		return unreachable
	}
	return err
}

// Call implements [capabilities.Capability].
func (c *cluster) Call(ctx context.Context, caller *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
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
func (c *cluster) PluralName(ctx context.Context, caller *capabilities.Caller, apiVersion,
	kind string) (string, error) {
	k, err := c.connect()
	if err != nil {
		return "", err
	}
	name, err := k.PluralName(ctx, caller, apiVersion, kind)
	return name, plain(err)
}

// inventory returns the cluster data for a Rego policy that may read the resources, or nil if there
// are none.
func (c *cluster) inventory(resources []abi.ContextAwareResource) abi.Inventory {
	if len(resources) == 0 {
		return nil
	}
	return &liveInventory{
		cluster: c,
		caller:  capabilities.Caller{Resources: resources, Secrets: true},
	}
}

type liveInventory struct {
	cluster *cluster
	caller  capabilities.Caller
	once    sync.Once
	of      abi.Inventory
	err     error
}

// Inventory implements [abi.Inventory].
func (i *liveInventory) Inventory(ctx context.Context,
	mode abi.ExecutionMode) ([]byte, uint64, error) {
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
