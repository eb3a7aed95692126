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

package loopback_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/wasm-admission/wasm-admission/pkg/loopback"
)

const token = "a-private-credential"

var apiserver = &user.DefaultInfo{
	Name:   user.APIServerUser,
	UID:    "known",
	Groups: []string{user.AllAuthenticated, user.SystemPrivilegedGroup},
}

// as authenticates every request as one user, like a client certificate or a front proxy could.
func as(info user.Info) authenticator.Request {
	return authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool,
		error) {
		req.Header.Del("Authorization")
		return &authenticator.Response{User: info}, true, nil
	})
}

func TestOnlyThePrivateCredentialMarks(t *testing.T) {
	for _, test := range []struct {
		name, token, header string
		info                user.Info
		marked              bool
	}{
		{"the credential", token, "Bearer " + token, apiserver, true},
		{"no credential, but name, UID and groups", token, "", apiserver, false},
		{"another credential of the same name", token, "Bearer other", apiserver, false},
		{"a part of the credential", token, "Bearer a-private", apiserver, false},
		{"the credential, but another user", token, "Bearer " + token,
			&user.DefaultInfo{Name: "somebody"}, false},
		{"no private credential", "", "Bearer ", apiserver, false},
		{"nobody", token, "Bearer " + token, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := httptest.NewRequest(http.MethodPost, "/", nil)
			req.Header.Set("Authorization", test.header)
			response, ok, err := loopback.Authenticator(as(test.info), test.token).
				AuthenticateRequest(req)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, test.marked, loopback.Marked(response.User))
			if test.info != nil {
				require.Equal(t, test.info.GetUID(), response.User.GetUID(),
					"the mark changes nothing else")
			}
		})
	}
	require.Nil(t, loopback.Authenticator(nil, token))
}

func TestUnauthenticatedRequestsAreNotMarked(t *testing.T) {
	failure := errors.New("no")
	inner := authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
		return nil, false, failure
	})
	_, ok, err := loopback.Authenticator(inner, token).
		AuthenticateRequest(httptest.NewRequest(http.MethodGet, "/", nil))
	require.False(t, ok)
	require.ErrorIs(t, err, failure)
}
