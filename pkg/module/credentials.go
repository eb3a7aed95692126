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

package module

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

// dockerHub is the host of Docker Hub's registry, and dockerHubNames are its names in
// configurations. docker login writes the last one, as https://index.docker.io/v1/.
const dockerHub = "registry-1.docker.io"

var dockerHubNames = []string{dockerHub, "docker.io", "index.docker.io"}

// keychain holds the credentials from a Docker config.json in the order in which they are tried:
// longest path first.
type keychain []keyed

// keyed is the credential for all repositories that a key matches.
type keyed struct {
	key        registryKey
	credential auth.Credential
}

// readCredentials reads a Docker config.json. It refuses credential helpers: they are programs,
// which must not run inside an API server.
func readCredentials(file string) (keychain, error) {
	content, err := safefile.Read(file, maxSettingsFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	var config struct {
		Auths   json.RawMessage   `json:"auths"`
		Store   string            `json:"credsStore"`
		Helpers map[string]string `json:"credHelpers"`
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return nil, errors.New("read credentials: " + file + " is not a Docker config.json")
	}
	if config.Store != "" || len(config.Helpers) > 0 {
		return nil, fmt.Errorf(
			"read credentials: %s names credential helpers (credsStore, credHelpers), which are programs and never run: "+
				"put the credentials under auths and remove the helpers", file)
	}
	// Do not wrap errors about the content of auths: they may contain the credentials.
	malformed :=
		fmt.Errorf(
			"read credentials: the content of auths in %s does not have the form that docker login writes, "+
				"an object of hosts, each with username and password or with both as auth, in base64 and with a colon between",
			file)
	var auths map[string]json.RawMessage
	if len(config.Auths) > 0 && json.Unmarshal(config.Auths, &auths) != nil {
		return nil, malformed
	}
	var chain keychain
	for name, value := range auths {
		key, err := parseRegistryKey(name)
		if err != nil {
			return nil, fmt.Errorf("read credentials: the key %.200q under auths in %s: %w", name,
				file, err)
		}
		credential, err := parseCredential(value)
		if err != nil {
			return nil, malformed
		}
		chain = append(chain, keyed{key, credential})
	}
	slices.SortFunc(chain, func(a, b keyed) int { return a.key.compare(b.key) })
	return chain, nil
}

// parseCredential parses one entry with the registry client's library. The library treats all keys
// of a host as the same, so it sees one at a time.
func parseCredential(value json.RawMessage) (auth.Credential, error) {
	const host = "registry.invalid"
	config, err := json.Marshal(map[string]map[string]json.RawMessage{"auths": {host: value}})
	if err != nil {
		return auth.EmptyCredential, err
	}
	store, err := credentials.NewMemoryStoreFromDockerConfig(config)
	if err != nil {
		return auth.EmptyCredential, err
	}
	return store.Get(context.Background(), host)
}

// find returns the credential for a repository, or an empty one.
func (k keychain) find(ref reference) auth.Credential {
	host := canonicalHost(ref.Registry)
	for _, entry := range k {
		if entry.key.matches(host, ref.Repository) {
			return entry.credential
		}
	}
	return auth.EmptyCredential
}

// registryKey is a key under auths. It has the same meaning as in Kubernetes image pull secrets
// (https://kubernetes.io/docs/concepts/containers/images/#config-json): a host, which may contain
// globs, optionally a port, and optionally the beginning of a repository's path.
type registryKey struct {
	host string // with the port, if there is one
	path string // without slashes at either end
}

func parseRegistryKey(name string) (registryKey, error) {
	if _, rest, hasScheme := strings.Cut(name, "://"); hasScheme {
		name = rest
	}
	host, repository, _ := strings.Cut(name, "/")
	repository = strings.Trim(repository, "/")
	// In the URL of an API, the host is followed by a version, which is not a repository.
	for _, version := range []string{"v1", "v2"} {
		if repository == version {
			repository = ""
		}
		repository = strings.TrimPrefix(repository, version+"/")
	}
	for _, label := range strings.Split((&url.URL{Host: host}).Hostname(), ".") {
		if _, err := path.Match(label, ""); err != nil {
			return registryKey{}, errors.New("the host is not a valid pattern")
		}
	}
	return registryKey{host: canonicalHost(host), path: repository}, nil
}

// canonicalHost returns a single name for a host that has several.
func canonicalHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":"+moduleuri.DefaultPort("https"))
	if slices.Contains(dockerHubNames, host) {
		return dockerHub
	}
	return host
}

// compare orders keys: longest path first, and hosts without globs before those with.
func (k registryKey) compare(other registryKey) int {
	return cmp.Or(
		cmp.Compare(len(other.path), len(k.path)),
		cmp.Compare(strings.Count(k.host, "*")+strings.Count(k.host, "?"),
			strings.Count(other.host, "*")+strings.Count(other.host, "?")),
		cmp.Compare(len(other.host), len(k.host)),
		cmp.Compare(k.host, other.host),
		cmp.Compare(k.path, other.path))
}

// matches reports whether the key applies to a repository. A glob matches within one label of the
// host's name. A path matches only whole segments of the repository's path: host/team does not
// match host/team-b.
func (k registryKey) matches(host, repository string) bool {
	if k.path != "" && repository != k.path && !strings.HasPrefix(repository, k.path+"/") {
		return false
	}
	pattern, name := &url.URL{Host: k.host}, &url.URL{Host: host}
	if pattern.Port() != name.Port() {
		return false
	}
	labels, parts := strings.Split(pattern.Hostname(), "."), strings.Split(name.Hostname(), ".")
	return slices.EqualFunc(labels, parts, func(label, part string) bool {
		matched, err := path.Match(label, part)
		return err == nil && matched
	})
}

func checkCredentials(path string) error {
	if path == "" {
		return nil
	}
	if _, err := readCredentials(path); err != nil {
		return fmt.Errorf("sources.dockerConfig: %w", err)
	}
	return nil
}

// credential returns the credentials for the registry of a repository, and for no other host. It
// reads the file each time, so that changes apply from the next request on.
func (r *Registries) credential(ref reference) auth.CredentialFunc {
	return func(_ context.Context, host string) (auth.Credential, error) {
		if r.sources.DockerConfig == "" || host != ref.remote().Host() {
			return auth.EmptyCredential, nil
		}
		chain, err := readCredentials(r.sources.DockerConfig)
		if err != nil {
			return auth.EmptyCredential, &Error{Cause: CauseUnauthorized, Err: err}
		}
		return chain.find(ref), nil
	}
}
