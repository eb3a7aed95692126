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

// Package loopback knows which requests an apiserver sends to itself of its own
// accord: those that carry its private credential, and of them those that write
// what it has to be able to write. A request needs both to pass without a policy.
//
// Neither is enough. Names, groups, UIDs and extra fields can be impersonated by
// whoever may, so that none of them proves anything. And the apiserver can be made
// to send requests with its own credential: by webhooks that point at the service
// kubernetes.default, or by admission plugins that write in somebody's name.
package loopback

import (
	"crypto/subtle"
	"net/http"
	"sync/atomic"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// marked is a user who was authenticated by the apiserver's private credential.
// Requests carry no types: impersonation and every authenticator make others.
type marked struct{ user.Info }

var installed atomic.Bool

// Authenticator returns inner, extended by a mark on the users of requests whose
// bearer token is token and whom inner takes for the apiserver. Others it leaves as
// they are. Without a token it marks nobody. The authenticator is as safe for
// concurrent use as inner.
//
// A command that contains the plugin puts it around the authenticator of the server
// that takes the requests: of the aggregator where there is one. The server's
// configuration has to be completed first, as that adds the private credential, which
// is the bearer token of LoopbackClientConfig:
//
//	completed.Authentication.Authenticator = loopback.Authenticator(
//		completed.Authentication.Authenticator, completed.LoopbackClientConfig.BearerToken)
//
// Without it every request is evaluated. A policy with rules for everything that
// refuses or fails then keeps the apiserver from getting ready; a warning in the log
// says so.
func Authenticator(inner authenticator.Request, token string) authenticator.Request {
	if inner == nil || token == "" {
		return inner
	}
	installed.Store(true)
	credential := []byte("Bearer " + token)
	return authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool,
		error) {
		// inner removes the header once it knows the user.
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

// Marked is whether a user was authenticated by the apiserver's private credential
// and not replaced by impersonation since.
func Marked(info user.Info) bool {
	_, ok := info.(marked)
	return ok
}

// Installed is whether this process has made an authenticator that marks users. While
// it has not, no request is marked.
func Installed() bool { return installed.Load() }
