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

package policyset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/groupexpression"
)

// group evaluates a policy group by combining the answers of its members.
type group struct {
	expression *groupexpression.Program
	message    string
	// members are the policies by their names in the expression.
	members map[string]*Policy
}

func (g *group) close() {
	for _, member := range g.members {
		member.evaluator.close()
	}
}

// evaluate asks the members that the expression needs, from left to right.
func (g *group) evaluate(ctx context.Context,
	request []byte) (*abi.ValidationResponse, abi.Usage, error) {
	p := &poll{
		group:    g,
		ctx:      ctx,
		request:  request,
		answers:  map[string]answer{},
		failures: map[string]error{},
	}
	accepted, err := g.expression.Evaluate(ctx, p.ask)
	if err == nil && accepted {
		err = p.requireCertainty()
	}
	switch {
	case err != nil:
		return nil, p.usage, fmt.Errorf(expressionError+": %w", err)
	case accepted:
		return &abi.ValidationResponse{Accepted: true}, p.usage, nil
	}
	return &abi.ValidationResponse{Message: g.message, Causes: p.causes()}, p.usage, nil
}

func (g *group) validateSettings(ctx context.Context) error {
	var errs []error
	for _, member := range g.members {
		errs = append(errs, member.ValidateSettings(ctx))
	}
	return errors.Join(errs...)
}

// memberSpec returns the spec of a group's member as a policy. No real policy can have its name.
func memberSpec(group *wasmadmission.PolicyGroup,
	member *wasmadmission.PolicyGroupMember) *wasmadmission.Policy {
	return &wasmadmission.Policy{
		Name:                  group.Name + "/" + member.Name,
		Namespace:             group.Namespace,
		Module:                member.Module,
		Digest:                member.Digest,
		Verification:          member.Verification,
		Settings:              member.Settings,
		TimeoutEvalSeconds:    member.TimeoutEvalSeconds,
		ContextAwareResources: member.ContextAwareResources,
		HostCapabilities:      member.HostCapabilities,
		Review:                group.Review,
	}
}

// groupSpec returns the part of a group's spec that a policy has too, except for the message: that
// of a group does not replace another.
func groupSpec(group *wasmadmission.PolicyGroup) wasmadmission.Policy {
	return wasmadmission.Policy{
		Name:              group.Name,
		Namespace:         group.Namespace,
		Rules:             group.Rules,
		FailurePolicy:     group.FailurePolicy,
		MatchPolicy:       group.MatchPolicy,
		NamespaceSelector: group.NamespaceSelector,
		ObjectSelector:    group.ObjectSelector,
		MatchConditions:   group.MatchConditions,
		Mode:              group.Mode,
		Review:            group.Review,
	}
}

// loadGroup builds a group of its members, in their order. A member is nil if it could not be
// loaded and its problem is reported already. If there are problems, loadGroup frees the other
// members.
func (l *Loader) loadGroup(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
	spec *wasmadmission.PolicyGroup, members []*Policy,
	path *field.Path) (*Policy, field.ErrorList) {
	g := &group{message: spec.Message, members: map[string]*Policy{}}
	var names []string
	for n, member := range members {
		name := spec.Policies[n].Name
		names = append(names, name)
		if member != nil {
			g.members[name] = member
		}
	}
	var errs field.ErrorList
	if len(spec.Rules) == 0 {
		errs = append(errs,
			field.Required(path.Child("rules"),
				"say which requests the group is for: its members' modules do not"))
	}
	if err := g.compile(ctx, spec.Expression, names); err != nil {
		errs = append(errs, field.Invalid(path.Child("expression"), spec.Expression, err.Error()))
	}
	if len(errs) > 0 || slices.Contains(members, nil) {
		g.close()
		return nil, errs
	}
	p := &Policy{spec: groupSpec(spec)}
	p.omits = omitted(config, &p.spec)
	p.digest, p.settingsHash = g.digests(spec)
	p.evaluator = l.guard(config, p, g, false)
	klog.FromContext(ctx).Info("Loaded policy group", "policy", p.Name(), "members", names,
		"moduleDigest", p.digest, "settingsHash", p.settingsHash, "rules", len(spec.Rules))
	return p.join(), nil
}

// compile compiles the group's expression, and tries it with members that all accept.
func (g *group) compile(ctx context.Context, expression string, members []string) (err error) {
	if g.expression, err = groupexpression.Compile(expression, members); err != nil {
		return err
	}
	_, err = g.expression.Evaluate(ctx, func(string) (bool, error) { return true, nil })
	if err != nil {
		return fmt.Errorf("evaluating it with members that all accept: %w", err)
	}
	return nil
}

// digests returns the hashes of the group's code and of its configuration. See [Policy.Digest] and
// [Policy.SettingsHash].
func (g *group) digests(spec *wasmadmission.PolicyGroup) (digest, settingsHash string) {
	var modules, settings strings.Builder
	fmt.Fprintf(&settings, "%s  expression\n", hash(spec.Expression))
	for n := range spec.Policies {
		name := spec.Policies[n].Name
		member := g.members[name]
		fmt.Fprintf(&modules, "%s  %s\n", strings.TrimPrefix(member.digest, "sha256:"), name)
		fmt.Fprintf(&settings, "%s  spec.policies.%s.settings\n", member.settingsHash, name)
	}
	return "sha256:" + hash(modules.String()), hash(settings.String())
}
