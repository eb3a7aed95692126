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

// Package loopback recognizes the requests that an apiserver sends to itself on its own initiative.
// They have two properties: they carry its private credential, and they write objects that the
// apiserver must be able to write. Only a request with both passes without a policy.
//
// Neither is enough alone. Users with the permission to impersonate can impersonate names, groups,
// UIDs and extra fields, so none of these proves anything. And the apiserver can be made to send
// requests with its own credential, by webhooks that point to the service kubernetes.default, or by
// admission plugins that write on behalf of a user.
package loopback

import (
	"crypto/subtle"
	"net/http"
	"sync/atomic"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// marked is a user whom the apiserver's private credential authenticated. The type is the mark.
// Clients cannot send it: impersonation and every authenticator create users of other types.
type marked struct{ user.Info }

var installed atomic.Bool

// Authenticator returns inner with a mark on users whom inner authenticates as the apiserver and
// whose request has token as its bearer token. It returns other users unchanged. If token is empty,
// it marks nobody. The authenticator is as safe for concurrent use as inner.
//
// A command that contains the plugin wraps the authenticator of the server that receives the
// requests, which is the aggregator if there is one. Complete the server's configuration first,
// because that adds the private credential, the bearer token of LoopbackClientConfig:
//
//	completed.Authentication.Authenticator = loopback.Authenticator(
//		completed.Authentication.Authenticator, completed.LoopbackClientConfig.BearerToken)
//
// Without this, policies evaluate every request. A policy that matches everything and rejects or
// fails then keeps the apiserver from becoming ready. A warning in the log says so.
func Authenticator(inner authenticator.Request, token string) authenticator.Request {
	if inner == nil || token == "" {
		return inner
	}
	installed.Store(true)
	credential := []byte("Bearer " + token)
	return authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool,
		error) {
		// inner removes the header when it has authenticated the user.
		presented := req.Header.Get("Authorization")
		response, ok, err := inner.AuthenticateRequest(req)
		if err != nil || !ok || response == nil || response.User == nil ||
			response.User.GetName() != user.APIServerUser {
			return response, ok, err
		}
		if subtle.ConstantTimeCompare([]byte(presented), credential) != 1 {
			return response, ok, err
		}
		own := *response
		own.User = marked{response.User}
		return &own, true, nil
	})
}

// Marked reports whether the apiserver's private credential authenticated a user, and impersonation
// has not replaced that user since.
func Marked(info user.Info) bool {
	_, ok := info.(marked)
	return ok
}

// Installed reports whether this process has created an authenticator that marks users. Before
// that, no request is marked.
func Installed() bool { return installed.Load() }
