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

package dispatch

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/loopback"
)

// exemptions say which requests no policy sees.
type exemptions struct {
	users, groups, namespaces sets.Set[string]
	// warnUnmarked warns once that nothing marks the apiserver's requests to itself.
	warnUnmarked sync.Once
}

func newExemptions(config wasmadmission.Exemptions) *exemptions {
	return &exemptions{
		users:      sets.New(config.Usernames...),
		groups:     sets.New(config.Groups...),
		namespaces: sets.New(config.Namespaces...),
	}
}

func (e *exemptions) exempt(ctx context.Context,
	attr admission.Attributes) (reason string, exempt bool) {
	// The namespace of a request for a Namespace is its own name.
	if e.namespaces.Has(attr.GetNamespace()) {
		return "namespace", true
	}
	info := attr.GetUserInfo()
	if info == nil {
		return "", false
	}
	if e.users.Has(info.GetName()) {
		return "user", true
	}
	if len(e.groups) > 0 && e.groups.HasAny(info.GetGroups()...) {
		return "group", true
	}
	if loopback.Marked(info) && loopback.Writes(attr) {
		return "apiserver", true
	}
	if info.GetName() == user.APIServerUser && !loopback.Installed() {
		e.warnUnmarked.Do(func() {
			klog.FromContext(ctx).
				Info(
					"WARNING: policies evaluate the apiserver's requests to itself, because nothing marks them (behind a webhook nothing can; a command that contains the plugin marks them with loopback.Authenticator): " +
						"a policy that rejects one of them can keep the apiserver from becoming ready")
		})
	}
	return "", false
}
