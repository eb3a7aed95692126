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

package module_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// dockerConfigOf returns a config.json in which each key's user is the key itself.
func dockerConfigOf(t *testing.T, keys ...string) string {
	t.Helper()
	auths := map[string]map[string]string{}
	for _, key := range keys {
		auths[key] = map[string]string{"username": key, "password": "pass"}
	}
	config, err := json.Marshal(map[string]any{"auths": auths})
	require.NoError(t, err)
	return writeFile(t, string(config))
}

func TestLongestMatchingKeyWins(t *testing.T) {
	general, team := "registry.example.com", "registry.example.com/team-a"
	for name, test := range map[string]struct {
		keys []string
		uri  string
		user string
	}{
		"path": {[]string{general, team},
			"registry://registry.example.com/team-a/policy:v1", team},
		"path is the repository": {[]string{general, team},
			"registry://registry.example.com/team-a:v1", team},
		"host": {[]string{general, team},
			"registry://registry.example.com/team-b/policy:v1", general},
		"part of a name is no path": {[]string{general, team},
			"registry://registry.example.com/team-ab/policy:v1", general},
		"longer path": {[]string{team, team + "/x"},
			"registry://registry.example.com/team-a/x/policy:v1", team + "/x"},
		"paths of others only": {[]string{team},
			"registry://registry.example.com/team-b/policy:v1", ""},
		"scheme and slash": {[]string{"https://" + team + "/"},
			"registry://registry.example.com/team-a/policy:v1", "https://" + team + "/"},
		"version of the API": {[]string{"https://registry.example.com/v2/"},
			"registry://registry.example.com/one:v1", "https://registry.example.com/v2/"},
		"case": {[]string{"Registry.Example.com"},
			"registry://registry.example.com/one:v1", "Registry.Example.com"},
		"glob": {[]string{"*.example.com"},
			"registry://registry.example.com/one:v1", "*.example.com"},
		"glob with a path": {[]string{"*.example.com", "*.example.com/team-a"},
			"registry://registry.example.com/team-a/one:v1", "*.example.com/team-a"},
		"part of a label": {[]string{"reg*.example.com"},
			"registry://registry.example.com/one:v1", "reg*.example.com"},
		"glob is one label": {[]string{"*.example.com"},
			"registry://a.registry.example.com/one:v1", ""},
		"glob is not no label": {[]string{"*.example.com"}, "registry://example.com/one:v1",
			""},
		"host before glob": {[]string{"*.example.com", general},
			"registry://registry.example.com/one:v1", general},
		"path of a glob before host": {[]string{"*.example.com/one", general},
			"registry://registry.example.com/one:v1", "*.example.com/one"},
		"port": {[]string{general, general + ":5000"},
			"registry://registry.example.com:5000/one:v1", general + ":5000"},
		"port of another": {[]string{general + ":5000"},
			"registry://registry.example.com/one:v1", ""},
		"port of HTTPS": {[]string{general + ":443"},
			"registry://registry.example.com/one:v1", general + ":443"},
		"address": {[]string{"[::1]:5000/team"},
			"registry://[::1]:5000/team/one:v1", "[::1]:5000/team"},
		"docker login": {[]string{"https://index.docker.io/v1/"},
			"registry://docker.io/library/one:v1", "https://index.docker.io/v1/"},
		"docker.io": {[]string{"docker.io"},
			"registry://registry-1.docker.io/library/one:v1", "docker.io"},
		"registry-1.docker.io": {[]string{"registry-1.docker.io"},
			"registry://index.docker.io/library/one:v1", "registry-1.docker.io"},
		"a team's key for Docker Hub": {[]string{"https://index.docker.io/v1/", "docker.io/team"},
			"registry://docker.io/team/one:v1", "docker.io/team"},
		"another domain's end": {[]string{"docker.io"}, "registry://notdocker.io/one:v1",
			""},
	} {
		t.Run(name, func(t *testing.T) {
			path := dockerConfigOf(t, test.keys...)
			for range 10 { // maps have a different order each time
				user, err := module.UserFor(path, test.uri)
				require.NoError(t, err)
				require.Equal(t, test.user, user)
			}
		})
	}
}

func TestCredentialsOfARepository(t *testing.T) {
	r := registry.Start(t, registry.Options{TLS: true, Username: "user", Password: "pass"})
	bytes, _ := wasm("one")
	r.Push(t, "team-a/one", "v1", bytes)
	r.Push(t, "team-b/one", "v1", bytes)
	sources := trusting(r)
	sources.DockerConfig = writeFile(t, `{"auths": {
		"`+r.Host+`": {"username": "user", "password": "wrong"},
		"`+r.Host+`/team-a": {"username": "user", "password": "pass"},
		"`+r.Host+`/team-b": {"username": "other", "password": "pass"}}}`)
	f := newFetcher(t, module.Options{Sources: sources})
	for range 10 {
		_, err := f.Fetch(t.Context(), "registry://"+r.Host+"/team-a/one:v1")
		require.NoError(t, err)
		_, err = f.Fetch(t.Context(), "registry://"+r.Host+"/team-b/one:v1")
		require.Equal(t, module.CauseUnauthorized, module.CauseOf(err))
	}
}

func TestKeysThatAreNoHosts(t *testing.T) {
	_, err := module.UserFor(dockerConfigOf(t, "registry[.example.com"),
		"registry://registry.example.com/one:v1")
	require.ErrorContains(t, err, `the key "registry[.example.com" under auths`)
	require.ErrorContains(t, err, "not a valid pattern")
}
