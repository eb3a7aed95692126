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
	"errors"
	"sync/atomic"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
)

// exemptions are the requests that no policy sees.
type exemptions struct {
	users, groups, namespaces sets.Set[string]
	apiserver                 apiserverIdentity
}

func newExemptions(config wasmadmission.Exemptions, client kubernetes.Interface) *exemptions {
	return &exemptions{
		users:      sets.New(config.Usernames...),
		groups:     sets.New(config.Groups...),
		namespaces: sets.New(config.Namespaces...),
		apiserver:  apiserverIdentity{client: client},
	}
}

func (e *exemptions) exempt(ctx context.Context, attr admission.Attributes) (metrics.Exemption, bool) {
	// For a namespace itself this is its name.
	if e.namespaces.Has(attr.GetNamespace()) {
		return metrics.ExemptNamespace, true
	}
	info := attr.GetUserInfo()
	if info == nil {
		return "", false
	}
	if e.users.Has(info.GetName()) {
		return metrics.ExemptUser, true
	}
	if len(e.groups) > 0 && e.groups.HasAny(info.GetGroups()...) {
		return metrics.ExemptGroup, true
	}
	if e.apiserver.is(ctx, info) {
		return metrics.ExemptAPIServer, true
	}
	return "", false
}

// apiserverIdentity tells the apiserver's requests to itself from those of
// somebody who impersonates it. The apiserver has to be able to write what it
// starts with, whatever the policies are: a policy that refuses that would keep
// it from ever getting ready.
//
// The name alone proves nothing, as whoever may impersonate users may take any.
// The UID is made up anew by every process and told to nobody but itself, so it
// is asked for with the apiserver's own client.
type apiserverIdentity struct {
	client kubernetes.Interface
	uid    atomic.Pointer[string]
}

func (a *apiserverIdentity) is(ctx context.Context, info user.Info) bool {
	if info.GetName() != user.APIServerUser || info.GetUID() == "" {
		return false
	}
	uid := a.uid.Load()
	if uid == nil {
		learned, err := a.learn(ctx)
		if err != nil {
			klog.FromContext(ctx).Error(err, "Cannot tell whether a request comes from the apiserver itself: evaluating it as any other")
			return false
		}
		a.uid.Store(&learned)
		uid = &learned
	}
	return info.GetUID() == *uid
}

func (a *apiserverIdentity) learn(ctx context.Context) (string, error) {
	self, err := a.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	if name := self.Status.UserInfo.Username; name != user.APIServerUser {
		return "", errors.New("the apiserver's client of itself is " + name + ", not " + user.APIServerUser)
	}
	return self.Status.UserInfo.UID, nil
}
