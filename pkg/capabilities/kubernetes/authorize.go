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
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities/internal/cache"
)

// decisionLifetime is how long a decision stays valid, so that not every lookup asks the
// authorizer. A revoked permission remains effective for that long.
const decisionLifetime = 3 * time.Second

// maxDecisions bounds the number of cached decisions. Each takes about 1 KB at most.
const maxDecisions = 4096

// access is a permission that the user needs.
type access struct {
	verb string
	resource
	namespace, name string
}

// decisions caches what the user may read.
type decisions struct {
	authorizer authorizer.UnconditionalAuthorizer
	user       user.Info
	// recent holds the valid decisions by access. The value is nil or the reason for the denial.
	recent *cache.Cache[access, *deniedError]
}

func newDecisions(a authorizer.UnconditionalAuthorizer, u user.Info, c clock.Clock) *decisions {
	return &decisions{authorizer: a, user: u, recent: cache.New(cache.Options[access, *deniedError]{
		Entries: maxDecisions, TTL: decisionLifetime, Clock: c,
	})}
}

// authorize returns an error if the user lacks a permission. Without an authorizer, it leaves the
// decision to the server.
func (d *decisions) authorize(ctx context.Context, a access) error {
	if d.authorizer == nil {
		return nil
	}
	return d.decide(ctx, a)
}

// allows reports whether the user is known to have a permission.
func (d *decisions) allows(ctx context.Context, a access) bool {
	return d.authorizer != nil && d.decide(ctx, a) == nil
}

func (d *decisions) decide(ctx context.Context, a access) error {
	denied, err := d.recent.Get(ctx, a, func(ctx context.Context) (*deniedError, error) {
		return d.ask(ctx, a)
	})
	switch unknown := (*deniedError)(nil); {
	case err == nil && denied != nil:
		return denied
	case err != nil && !errors.As(err, &unknown):
		return fmt.Errorf("asking what user %q may see: %w", d.user.GetName(), err)
	default:
		return err
	}
}

// ask asks the authorizer. Errors are not cached, because the authorizer may succeed a moment
// later.
func (d *decisions) ask(ctx context.Context, a access) (*deniedError, error) {
	decision, reason, err := d.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: d.user, Verb: a.verb, Namespace: a.namespace, Name: a.name, ResourceRequest: true,
		APIGroup: a.Group, APIVersion: a.Version, Resource: a.Resource,
	})
	switch {
	case decision == authorizer.DecisionAllow:
		return nil, nil
	case err != nil:
		return nil, d.denied(a, reason, err)
	default:
		return d.denied(a, reason, nil), nil
	}
}

func (d *decisions) denied(a access, reason string, err error) *deniedError {
	var text strings.Builder
	fmt.Fprintf(&text,
		"user %q, as whom policies read the cluster, cannot %s resource %q in API group %q",
		d.user.GetName(), a.verb, a.Resource, a.Group)
	switch {
	case a.namespace != "":
		fmt.Fprintf(&text, " in the namespace %q", a.namespace)
	case a.name == "":
		text.WriteString(" in all namespaces")
	}
	for _, detail := range []string{reason, errorText(err)} {
		if detail != "" {
			fmt.Fprintf(&text, ": %s", detail)
		}
	}
	fmt.Fprintf(&text,
		"; bind the user to a role with verbs get, list and watch on %s, or configure another user",
		a.Resource)
	return &deniedError{text.String()}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
