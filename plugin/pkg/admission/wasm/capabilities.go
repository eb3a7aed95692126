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

package wasm

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/crypto"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/kubernetes"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/net"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// clusterView is what a plugin looks at the cluster with: the apiserver's client of itself,
// and the authorizer, which says what it may be used for.
type clusterView struct {
	client     dynamic.Interface
	discovery  discovery.DiscoveryInterface
	authorizer authorizer.UnconditionalAuthorizer
	// excluded are the resources that admission never sees.
	excluded []schema.GroupResource
}

// clusterMetrics serves the capability of the process to look at the cluster.
var clusterMetrics = sync.OnceValue(func() *metrics.Cluster {
	m := metrics.NewCluster()
	m.MustRegister(legacyregistry.MustRegister)
	return m
})

// newCapabilities returns what all policies share, until ctx ends. It is called before the
// apiserver serves, starts its informers or knows its authorizer well: what it makes asks
// nothing of them until a policy asks.
func newCapabilities(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration, view clusterView) (policyset.Capabilities, error) {
	dns, eyes := &config.Capabilities.DNS, &config.Capabilities.Kubernetes
	cluster, err := kubernetes.New(ctx, kubernetes.Options{
		Client:      view.client,
		Discovery:   discovery.ToServerResourcesInterfaceWithContext(view.discovery),
		Authorizer:  view.authorizer,
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
	return policyset.Capabilities{
		ByNamespace: map[string]capabilities.Capability{
			"kubernetes": cluster,
			"net":        net.New(net.Options{CacheEntries: int(dns.CacheEntries), CacheTTL: dns.CacheTTL.Duration}),
			"crypto":     crypto.New(nil),
			"oci":        oci.New(nil),
		},
		Inventories: cluster,
	}, nil
}

func answerCache(c *wasmadmission.AnswerCache) kubernetes.AnswerCache {
	return kubernetes.AnswerCache{Entries: int(c.CacheEntries), Bytes: c.CacheSize, TTL: c.CacheTTL.Duration}
}
