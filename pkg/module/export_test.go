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
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Hurry makes a fetcher try twice without pause, and log its progress at the given interval.
func Hurry(f *Fetcher, progress time.Duration) *Fetcher {
	f.puller.patient = wait.Backoff{Duration: time.Millisecond, Steps: 2}
	f.puller.hasty = f.puller.patient
	f.puller.progressEvery = progress
	return f
}

// Forget makes a fetcher ask silent hosts again.
func Forget(f *Fetcher) {
	f.puller.mu.Lock()
	defer f.puller.mu.Unlock()
	clear(f.puller.silent)
}

// UserFor returns the user in a Docker config.json for a registry:// URI.
func UserFor(path, uri string) (string, error) {
	chain, err := readCredentials(path)
	if err != nil {
		return "", err
	}
	ref, err := parseReference(uri)
	return chain.find(ref).Username, err
}

// Fetch reads the module at a URI.
func (f *Fetcher) Fetch(ctx context.Context, uri string) (*Module, error) {
	return f.Get(ctx, Request{URI: uri})
}
