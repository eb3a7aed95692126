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

package serving

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	capability "github.com/wasm-admission/wasm-admission/pkg/capabilities/kubernetes"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/net"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/unmatched"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Cluster is the cluster that a server admits requests for: its client of itself, and the
// authorizer that decides what policies may read with it. All fields except Excluded are required.
type Cluster struct {
	Client     kubernetes.Interface
	Dynamic    dynamic.Interface
	Informers  informers.SharedInformerFactory
	Authorizer authorizer.UnconditionalAuthorizer
	// Excluded are the resources that never go through admission.
	Excluded []schema.GroupResource
}

// capabilities returns the host capabilities that all policies share. They work until ctx ends. The
// call comes before the apiserver serves, starts its informers, or has set up its authorizer, so
// the capabilities use none of these until a policy calls them. signatures checks the signatures of
// images, and may be nil.
func (c *Cluster) capabilities(ctx context.Context,
	config *wasmadmission.WasmAdmissionConfiguration,
	checker verification.Checker) (policyset.Capabilities, error) {
	dns, eyes := &config.Capabilities.DNS, &config.Capabilities.Kubernetes
	cluster, err := capability.New(ctx, capability.Options{
		Client:      c.Dynamic,
		Discovery:   discovery.ToServerResourcesInterfaceWithContext(c.Client.Discovery()),
		Authorizer:  c.Authorizer,
		User:        &user.DefaultInfo{Name: eyes.User, Groups: eyes.Groups},
		MemoryBytes: eyes.MemorySize,
		IdleTimeout: eyes.IdleTimeout.Duration,
		GetResource: answerCache(&eyes.GetResource),
		CanI:        answerCache(&eyes.CanI),
		Recorder:    clusterMetrics(),
	})
	if err != nil {
		return policyset.Capabilities{}, err
	}
	images, err := assembly.NewImages(config, checker, imageMetrics())
	if err != nil {
		return policyset.Capabilities{}, err
	}
	return policyset.Capabilities{
		ByNamespace: assembly.HostCapabilities(cluster,
			net.Options{CacheEntries: int(dns.CacheEntries), CacheTTL: dns.CacheTTL.Duration},
			images),
		Inventories: cluster,
	}, nil
}

func answerCache(c *wasmadmission.AnswerCache) capability.AnswerCache {
	return capability.AnswerCache{
		Entries: int(c.CacheEntries),
		Bytes:   c.CacheSize,
		TTL:     c.CacheTTL.Duration,
	}
}

// errNotReady means that the apiserver does not yet know all resources that it serves.
var errNotReady = errors.New("the apiserver is not ready")

// served asks the apiserver which resources it serves. It fails before the apiserver is ready,
// because custom resources and extension servers are missing until then.
func (c *Cluster) served(ctx context.Context) (*unmatched.Served, error) {
	kinds := c.Client.Discovery()
	client := kinds.RESTClient()
	if client == nil {
		return nil, errNotReady
	}
	if err := client.Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotReady, err)
	}
	_, resources, err := kinds.ServerGroupsAndResources()
	failed, partial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partial {
		return nil, fmt.Errorf("asking what is served: %w", err)
	}
	served := &unmatched.Served{Resources: resources, Excluded: c.Excluded}
	for version := range failed {
		served.Unknown = append(served.Unknown, version)
	}
	return served, nil
}
