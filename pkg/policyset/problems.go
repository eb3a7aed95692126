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
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// JoinProblems joins the problems of a configuration into one error, one line each. origins may map
// the name of a policy or group to the place where it comes from. Then the line begins with that
// place, and names the field as a manifest does, such as spec.module.
func JoinProblems(errs field.ErrorList, origins map[string]string) error {
	if len(errs) == 0 {
		return nil
	}
	lines := make([]string, len(errs))
	for n, err := range errs {
		text := err.Error()
		_, name, _ := strings.Cut(err.Field, "[") // as in policies[name].module
		name, rest, _ := strings.Cut(name, "]")
		if origin := origins[name]; origin != "" {
			inManifest := *err
			inManifest.Field = "spec" + rest
			text = origin + ": " + inManifest.Error()
		}
		lines[n] = strings.ReplaceAll(text, "\n", " ")
	}
	return errors.New(strings.Join(lines, "\n"))
}

// FetchProblems returns one problem for each policy, and each member of a group, whose module
// cannot be fetched. why returns nil for modules that can be fetched.
func FetchProblems(config *wasmadmission.WasmAdmissionConfiguration,
	why func(module.Request) error) (errs field.ErrorList) {
	for _, w := range wantedPolicies(config) {
		err := why(ModuleRequest(w.spec.Module, w.spec.Digest, w.spec.Verification))
		if err != nil {
			errs = append(errs, fetchProblem(w.path, w.spec, err))
		}
	}
	return errs
}

// fetchProblem returns the problem of a module that cannot be fetched, at the field that is wrong.
func fetchProblem(path *field.Path, spec *wasmadmission.Policy, err error) *field.Error {
	if d := (*module.DigestError)(nil); errors.As(err, &d) && d.Want == spec.Digest {
		return field.Invalid(path.Child("digest"), spec.Digest,
			fmt.Sprintf(
				"the module at %s has digest %s: put that here if it is the module that you mean",
				module.Redact(spec.Module), d.Got))
	}
	return field.Invalid(path.Child("module"), module.Redact(spec.Module), err.Error())
}

// moduleProblems returns one problem for each line of a joined error.
func moduleProblems(path *field.Path, spec *wasmadmission.Policy,
	err error) (errs field.ErrorList) {
	for line := range strings.Lines(err.Error()) {
		errs = append(errs,
			field.Invalid(path.Child("module"), module.Redact(spec.Module),
				strings.TrimSuffix(line, "\n")))
	}
	return errs
}

// Warning is something that an administrator should know about policies that can be served.
type Warning struct {
	// Kind says how important it is.
	Kind WarningKind
	// Policy is the name of the policy that it concerns, or "" if the text says what it concerns.
	Policy string
	// Text is the warning, one line.
	Text string
	// Details are keys and values that a log adds to the text.
	Details []any
}

// WarningKind says how important a warning is. The set is closed.
type WarningKind int

// The kinds of warnings.
const (
	// Probable is probably a mistake.
	Probable WarningKind = iota
	// Notice is something that a module asks for and does not get, which may be intended.
	Notice
	// Alarm means that a server has no policies at all.
	Alarm
)

// String returns the warning as one line.
func (w Warning) String() string {
	if w.Policy == "" {
		return w.Text
	}
	return fmt.Sprintf("policies[%s]: %s", w.Policy, w.Text)
}

var errNoPolicy = errors.New("no policy is configured")

// Tell passes the warning to a function. If that is nil, it logs to the logger of the context.
func (w Warning) Tell(ctx context.Context, to func(Warning)) {
	if to != nil {
		to(w)
		return
	}
	details := w.Details
	if w.Policy != "" {
		details = append([]any{"policy", w.Policy}, details...)
	}
	switch w.Kind {
	case Notice:
		klog.FromContext(ctx).Info(w.Text, details...)
	case Alarm:
		klog.FromContext(ctx).Error(errNoPolicy, "Warning: "+w.Text, details...)
	default:
		klog.FromContext(ctx).Info("Warning: "+w.Text, details...)
	}
}
