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
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
)

const (
	// mappingLifetime is how long the kinds of a group version stay cached.
	mappingLifetime = 10 * time.Minute
	// mappingPause is the minimum time between two requests for a group version, even if a kind is
	// missing.
	mappingPause = 2 * time.Second
)

// resource describes a kind as the server knows it.
type resource struct {
	schema.GroupVersionResource
	apiVersion, kind string
	namespaced       bool
}

// String returns the kind in the form that Kubewarden's users write, such as apps/v1/Deployment.
func (r *resource) String() string { return r.apiVersion + "/" + r.kind }

// isSecret reports whether the resource is Secrets, in any version.
func (r *resource) isSecret() bool { return r.Group == "" && r.Resource == "secrets" }

// Discovery finds the kinds that exist. [k8s.io/client-go/discovery.DiscoveryClient] implements it.
// A caching implementation would miss kinds that come and go.
type Discovery interface {
	// ServerResourcesForGroupVersionWithContext returns the resources of a group version.
	ServerResourcesForGroupVersionWithContext(ctx context.Context,
		groupVersion string) (*metav1.APIResourceList, error)
}

// mapping maps kinds to resources. It asks the server for one group version at a time, when
// somebody first needs one of its kinds.
type mapping struct {
	discovery Discovery
	clock     clock.PassiveClock

	mu       sync.Mutex
	versions map[string]*groupVersion
}

// groupVersion holds the cached kinds of a group version.
type groupVersion struct {
	// turn holds one element while somebody reads or updates the group version.
	turn  chan struct{}
	kinds map[string]resource
	asked time.Time
	// stale says that an expected resource was missing on the server.
	stale bool
	err   error
}

func newMapping(discovery Discovery, clock clock.PassiveClock) *mapping {
	return &mapping{discovery: discovery, clock: clock, versions: map[string]*groupVersion{}}
}

// version returns the cached group version and locks it. The caller must call give to unlock it.
func (m *mapping) version(ctx context.Context,
	apiVersion string) (v *groupVersion, give func(), err error) {
	m.mu.Lock()
	v = m.versions[apiVersion]
	if v == nil {
		v = &groupVersion{turn: make(chan struct{}, 1)}
		m.versions[apiVersion] = v
	}
	m.mu.Unlock()
	select {
	case v.turn <- struct{}{}:
		return v, func() { <-v.turn }, nil
	case <-ctx.Done():
		return nil, nil, fmt.Errorf(
			"looking for the kinds of %s: %w", apiVersion, context.Cause(ctx))
	}
}

// resolve returns a kind's resource. It asks the server for an unknown kind, which may be new, at a
// limited rate.
func (m *mapping) resolve(ctx context.Context, apiVersion, kind string) (resource, error) {
	v, give, err := m.version(ctx, apiVersion)
	if err != nil {
		return resource{}, err
	}
	defer give()
	found, known := v.kinds[kind]
	age := m.clock.Since(v.asked)
	switch {
	case known && !v.stale && age < mappingLifetime:
		return found, nil
	case age < mappingPause && known:
		return found, nil
	case age < mappingPause && v.err != nil:
		return resource{}, v.err
	case age < mappingPause:
		return resource{}, missing(apiVersion, kind)
	}
	if err := m.ask(ctx, v, apiVersion); err != nil {
		return resource{}, err
	}
	if found, known = v.kinds[kind]; !known {
		return resource{}, missing(apiVersion, kind)
	}
	return found, nil
}

func missing(apiVersion, kind string) error {
	return fmt.Errorf("Cannot find resource %s/%s", apiVersion, kind) //nolint:staticcheck // the text that Kubewarden's users know
}

// ask asks the server for the kinds of a group version. A missing group version has no kinds.
func (m *mapping) ask(ctx context.Context, v *groupVersion, apiVersion string) error {
	of, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return err
	}
	list, err := m.discovery.ServerResourcesForGroupVersionWithContext(ctx, apiVersion)
	if apierrors.IsNotFound(err) {
		list, err = &metav1.APIResourceList{}, nil
	}
	if err != nil {
		err = fmt.Errorf("looking for the kinds of %s: %w", apiVersion, err)
		if ctx.Err() == nil { // otherwise the next caller tries with its own time
			v.err, v.asked = err, m.clock.Now()
		}
		return err
	}
	kinds := map[string]resource{}
	for n := range list.APIResources {
		r := &list.APIResources[n]
		if _, known := kinds[r.Kind]; known || strings.Contains(r.Name, "/") {
			continue
		}
		kinds[r.Kind] = resource{
			GroupVersionResource: of.WithResource(r.Name),
			apiVersion:           apiVersion, kind: r.Kind, namespaced: r.Namespaced,
		}
	}
	v.kinds, v.err, v.asked, v.stale = kinds, nil, m.clock.Now(), false
	return nil
}

// markStale notes that the server did not know a resource. Its kind may be gone, or may have
// another resource now.
func (m *mapping) markStale(ctx context.Context, r *resource) {
	if v, give, err := m.version(ctx, r.apiVersion); err == nil {
		v.stale = true
		give()
	}
}
