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

package wasm

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/discovery"

	"github.com/wasm-admission/wasm-admission/pkg/unmatched"
)

// errNotReady says that the apiserver does not know yet all that it serves.
var errNotReady = errors.New("the apiserver is not ready")

// served asks what the apiserver serves. Before it is ready it serves less than it will:
// custom resources are missing, and extension servers.
func (v clusterView) served(ctx context.Context) (*unmatched.Served, error) {
	client := v.discovery.RESTClient()
	if client == nil {
		return nil, errNotReady
	}
	if err := client.Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotReady, err)
	}
	_, resources, err := v.discovery.ServerGroupsAndResources()
	failed, partial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partial {
		return nil, fmt.Errorf("asking what is served: %w", err)
	}
	served := &unmatched.Served{Resources: resources, Excluded: v.excluded}
	for version := range failed {
		served.Unknown = append(served.Unknown, version)
	}
	return served, nil
}
