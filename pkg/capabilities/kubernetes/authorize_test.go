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
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestDecisionsCountForSeconds(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	asked := 0
	decision, failure := authorizer.DecisionAllow, error(nil)
	d :=
		newDecisions(
			authorizer.AuthorizerFunc(func(_ context.Context,
				a authorizer.Attributes) (authorizer.Decision, string, error) {
				asked++
				require.Equal(t, "eyes", a.GetUser().GetName())
				require.Equal(t, []string{"group"}, a.GetUser().GetGroups())
				require.Equal(t, []string{"list", "ns", "", "v1", "pods", ""},
					[]string{
						a.GetVerb(),
						a.GetNamespace(),
						a.GetAPIGroup(),
						a.GetAPIVersion(),
						a.GetResource(),
						a.GetSubresource(),
					})
				require.True(t, a.IsResourceRequest())
				return decision, "because", failure
			}), &user.DefaultInfo{Name: "eyes", Groups: []string{"group"}}, clock)
	authorize := func() error {
		return d.authorize(t.Context(),
			access{verb: "list", resource: podResource, namespace: "ns"})
	}

	require.NoError(t, authorize())
	decision = authorizer.DecisionDeny
	require.NoError(t, authorize(), "for some seconds")
	clock.Step(decisionLifetime + 1)
	const denied = `user "eyes", as whom policies read the cluster, cannot list resource "pods" in API group "" in the namespace "ns": because; bind the user to a role with verbs get, list and watch on pods, or configure another user`
	require.EqualError(t, authorize(), denied)
	decision = authorizer.DecisionAllow
	require.EqualError(t, authorize(), denied, "for some seconds")
	require.Equal(t, 2, asked)
	clock.Step(decisionLifetime + 1)

	decision, failure = authorizer.DecisionNoOpinion, errors.New("the webhook is away")
	require.ErrorContains(t, authorize(),
		`in the namespace "ns": because: the webhook is away; bind`)
	decision, failure = authorizer.DecisionAllow, errors.New("one of two is away")
	require.NoError(t, authorize(),
		"a failure is not remembered, and one that does not deny does not count")
}

func TestEachLookHasItsDecision(t *testing.T) {
	var seen []string
	d :=
		newDecisions(
			authorizer.AuthorizerFunc(func(_ context.Context,
				a authorizer.Attributes) (authorizer.Decision, string, error) {
				seen = append(seen, a.GetVerb()+" "+a.GetNamespace()+" "+a.GetName())
				return authorizer.DecisionAllow, "", nil
			}), &user.DefaultInfo{Name: "eyes"}, clocktesting.NewFakeClock(time.Now()))
	for range 2 {
		for _, l := range []access{{verb: "list"}, {verb: "list", namespace: "ns"},
			{verb: "get", namespace: "ns"}, {verb: "get", namespace: "ns", name: "n"},
			{verb: "get", namespace: "other", name: "n"}} {
			l.resource = podResource
			require.NoError(t, d.authorize(t.Context(), l))
		}
	}
	require.Equal(t, []string{"list  ", "list ns ", "get ns ", "get ns n", "get other n"}, seen)
}
