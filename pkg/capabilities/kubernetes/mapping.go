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
	// mappingLifetime is how long a group version is taken to have the kinds that it had.
	mappingLifetime = 10 * time.Minute
	// mappingPause is how long it is not asked for again, even if a kind is missing.
	mappingPause = 2 * time.Second
)

// resource is what the server calls a kind.
type resource struct {
	schema.GroupVersionResource
	apiVersion, kind string
	namespaced       bool
}

// String returns the kind as Kubewarden's users write it, such as apps/v1/Deployment.
func (r *resource) String() string { return r.apiVersion + "/" + r.kind }

// isSecret tells whether the resource's objects are Secrets, in any version.
func (r *resource) isSecret() bool { return r.Group == "" && r.Resource == "secrets" }

// Discovery says which kinds there are. [k8s.io/client-go/discovery.DiscoveryClient]
// implements it; one that caches would hide kinds that come and go.
type Discovery interface {
	// ServerResourcesForGroupVersionWithContext returns the resources of a group's version.
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
}

// mapping knows the resources of kinds. It asks the server for one version of a group at a
// time, when a kind in it is first wanted.
type mapping struct {
	discovery Discovery
	clock     clock.PassiveClock

	mu       sync.Mutex
	versions map[string]*groupVersion
}

// groupVersion is what is known of a group's version.
type groupVersion struct {
	// turn is had by who looks at it or asks for it.
	turn  chan struct{}
	kinds map[string]resource
	asked time.Time
	// stale is whether something was gone that should have been there.
	stale bool
	err   error
}

func newMapping(discovery Discovery, clock clock.PassiveClock) *mapping {
	return &mapping{discovery: discovery, clock: clock, versions: map[string]*groupVersion{}}
}

// version returns what is known of a group's version, and has the turn on it: give has to
// be called.
func (m *mapping) version(ctx context.Context, apiVersion string) (v *groupVersion, give func(), err error) {
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
		return nil, nil, fmt.Errorf("looking for the kinds of %s: %w", apiVersion, context.Cause(ctx))
	}
}

// resolve returns a kind's resource. A kind that is not known, and may be new, is looked
// for on the server, but not all the time.
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

// ask asks the server for the kinds of a group's version. One that there is not has none.
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
		if ctx.Err() == nil { // else the next caller has more time
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

// markStale says that the server did not know a resource: its kind may be gone, or be
// another now.
func (m *mapping) markStale(ctx context.Context, r *resource) {
	if v, give, err := m.version(ctx, r.apiVersion); err == nil {
		v.stale = true
		give()
	}
}
