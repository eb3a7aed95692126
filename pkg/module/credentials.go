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
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/wasm-admission/wasm-admission/pkg/safefile"
)

// Docker Hub's credentials are kept under a name that is no host of it.
const (
	hubHost = "registry-1.docker.io"
	hubKey  = "index.docker.io"
)

// readCredentials reads a config.json of Docker. Helpers are programs: nothing of
// that kind is run inside an API server.
func readCredentials(path string) (credentials.Store, error) {
	content, err := safefile.Read(path, maxSettingsFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	var helpers struct {
		Store   string            `json:"credsStore"`
		Helpers map[string]string `json:"credHelpers"`
	}
	if err := json.Unmarshal(content, &helpers); err != nil {
		return nil, errors.New("read credentials: " + path + " is not a config.json of Docker")
	}
	if helpers.Store != "" || len(helpers.Helpers) > 0 {
		return nil, fmt.Errorf("read credentials: %s names credential helpers (credsStore, credHelpers), which are programs and are not run: "+
			"put the credentials under auths and remove the helpers", path)
	}
	store, err := credentials.NewMemoryStoreFromDockerConfig(content)
	if err != nil {
		// The error may have the credentials in it.
		return nil, fmt.Errorf("read credentials: what is under auths in %s is not what docker login writes, "+
			"an object of hosts, each with username and password or with both as auth, in base64 and with a colon between", path)
	}
	return store, nil
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

// credential returns what a registry is to be asked with. The file is read each
// time, so that a change of it counts from the next request on.
func (r *puller) credential(ctx context.Context, host string) (auth.Credential, error) {
	if r.sources.DockerConfig == "" {
		return auth.EmptyCredential, nil
	}
	store, err := readCredentials(r.sources.DockerConfig)
	if err != nil {
		return auth.EmptyCredential, &Error{Cause: CauseUnauthorized, Err: err}
	}
	if host == hubHost {
		host = hubKey
	}
	return store.Get(ctx, host)
}
