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

package evaluation

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// LoadManifests loads the policies and groups in a file of Kubewarden manifests, in the order of
// the file. They behave as in a cluster, but answer any request.
func (e *Evaluator) LoadManifests(ctx context.Context, file kubewarden.File,
	answers *host.Answers) ([]*Policy, error) {
	config := *e.assembly.Config
	// The configuration needs a valid path, but the fetcher decides where modules are kept.
	config.StateDirectory = "/"
	manifests, err := kubewarden.Files{file}.Decode(&config)
	if err != nil {
		return nil, err
	}
	config.Policies, config.PolicyGroups = manifests.Policies, manifests.PolicyGroups
	if len(config.Policies)+len(config.PolicyGroups) == 0 {
		return nil, errors.New(file.Path + ": holds no policy")
	}
	all, err := capabilities.ParsePatterns([]string{"*"})
	if err != nil {
		return nil, err
	}
	loader := *e.assembly.Loader
	loader.Adjust = func(spec *wasmadmission.Policy, env *abi.Environment) {
		grants := host.Grants{Capabilities: all}
		for _, resource := range spec.ContextAwareResources {
			grants.Resources = append(grants.Resources, abi.ContextAwareResource(resource))
		}
		adjust(spec, env, answers, grants)
	}
	set, errs := loader.Load(ctx, &config)
	if len(errs) > 0 {
		err := policyset.JoinProblems(errs, manifests.OriginTexts())
		if slices.ContainsFunc(errs, func(err *field.Error) bool {
			return strings.HasSuffix(err.Field, ".settings")
		}) {
			return nil, &SettingsError{err.Error()}
		}
		return nil, err
	}
	policies := newPolicies(set)
	slices.SortFunc(policies, func(a, b *Policy) int {
		x, y := manifests.Origins[a.Name()], manifests.Origins[b.Name()]
		return cmp.Or(cmp.Compare(x.Document, y.Document), cmp.Compare(x.Item, y.Item))
	})
	return policies, nil
}

// adjust connects a policy's host calls to the answers, within its grants.
func adjust(spec *wasmadmission.Policy, env *abi.Environment, answers *host.Answers,
	grants host.Grants) {
	env.Capabilities = answers.Gate(spec.Name, grants, env.Capabilities)
	if answers.Inventory != nil {
		env.Inventory = answers.Inventory(grants.Resources)
	}
}
