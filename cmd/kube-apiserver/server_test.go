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

package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/filters/impersonation"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/loopback"
)

// Both implementations of impersonation replace the marked user, even with a user whose name,
// groups, UID and extra are the same.
func TestImpersonationTakesTheMarkAway(t *testing.T) {
	const token = "a-private-credential"
	apiserver := &user.DefaultInfo{
		Name:   user.APIServerUser,
		UID:    "known",
		Groups: []string{user.AllAuthenticated, user.SystemPrivilegedGroup},
	}
	inner := authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
		return &authenticator.Response{User: apiserver}, true, nil
	})
	for name, filter := range map[string]func(http.Handler) http.Handler{
		"impersonation": func(h http.Handler) http.Handler {
			return impersonation.WithImpersonation(h, authorizerfactory.NewAlwaysAllowAuthorizer(),
				scheme.Codecs)
		},
		"constrained impersonation": func(h http.Handler) http.Handler {
			return impersonation.WithConstrainedImpersonation(h,
				authorizerfactory.NewAlwaysAllowAuthorizer(), scheme.Codecs)
		},
	} {
		for _, impersonated := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				req := httptest.NewRequest(http.MethodPost, "/api/v1/namespaces", nil)
				req.Header.Set("Authorization", "Bearer "+token)
				response, _, err := loopback.Authenticator(inner, token).AuthenticateRequest(req)
				require.NoError(t, err)
				if impersonated {
					req.Header.Set("Impersonate-User", apiserver.Name)
					req.Header.Set("Impersonate-Uid", apiserver.UID)
					req.Header["Impersonate-Group"] = apiserver.Groups
				}
				ctx := request.WithRequestInfo(request.WithUser(req.Context(), response.User),
					&request.RequestInfo{
						IsResourceRequest: true,
						Verb:              "create",
						Resource:          "namespaces",
						APIVersion:        "v1",
					})
				var served user.Info
				filter(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
					served, _ = request.UserFrom(req.Context())
				})).ServeHTTP(httptest.NewRecorder(), req.WithContext(ctx))
				require.NotNil(t, served)
				require.Equal(t, apiserver.Name, served.GetName())
				require.Equal(t, apiserver.UID, served.GetUID())
				require.Equal(t, !impersonated, loopback.Marked(served))
			})
		}
	}
}
