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

package validation

import (
	"strings"
	"sync"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// maxMatchConditions is the bound that admissionregistration.k8s.io/v1 sets.
const maxMatchConditions = 64

// compiler is created on first use, because building its environments takes longer than the rest of
// validation. It is the compiler of the webhook plugins, and is safe for concurrent use.
var compiler = sync.OnceValue(func() plugincel.Compiler {
	return plugincel.NewCompiler(
		environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
})

func validateMatchConditions(conditions []admissionregistrationv1.MatchCondition,
	fldPath *field.Path) field.ErrorList {
	if len(conditions) > maxMatchConditions {
		// This also bounds how many conditions are compiled.
		return field.ErrorList{field.TooMany(fldPath, len(conditions), maxMatchConditions)}
	}
	var errs field.ErrorList
	names := sets.New[string]()
	for i := range conditions {
		condition, at := &conditions[i], fldPath.Index(i)
		switch problems := validation.IsQualifiedName(condition.Name); {
		case condition.Name == "":
			errs = append(errs,
				field.Required(at.Child("name"),
					"a match condition needs a name for messages: write one, such as not-a-lease"))
		case len(problems) > 0:
			errs = append(errs,
				field.Invalid(at.Child("name"), condition.Name, strings.Join(problems, "; ")))
		case names.Has(condition.Name):
			errs = append(errs,
				duplicate(at.Child("name"), condition.Name,
					"is the name of an earlier condition: give each condition its own"))
		}
		names.Insert(condition.Name)
		errs = append(errs, validateExpression(condition, at.Child("expression"))...)
	}
	return errs
}

// knownVariables are the variables of match conditions: those of webhooks, and namespaceObject,
// which the same environment declares but which is always null.
const knownVariables = "object, oldObject, request, namespaceObject and authorizer"

// validateExpression compiles an expression in the environment of the webhook plugins. The
// dispatcher uses the same environment, so an expression that passes here also compiles there.
func validateExpression(condition *admissionregistrationv1.MatchCondition,
	fldPath *field.Path) field.ErrorList {
	if strings.TrimSpace(condition.Expression) == "" {
		return field.ErrorList{
			field.Required(fldPath,
				`write a CEL expression that is true for the requests to match, such as request.resource.resource != "leases"`),
		}
	}
	variables := plugincel.OptionalVariableDeclarations{HasParams: false, HasAuthorizer: true}
	result := compiler().CompileCELExpression((*matchconditions.MatchCondition)(condition),
		variables, environment.StoredExpressions)
	if result.Error == nil {
		return nil
	}
	if result.Error.Type == apiservercel.ErrorTypeInternal {
		return field.ErrorList{field.InternalError(fldPath, result.Error)}
	}
	detail := oneLine(result.Error.Detail)
	if strings.Contains(detail, "undeclared reference") {
		detail += ": match conditions know " + knownVariables
	}
	return field.ErrorList{field.Invalid(fldPath, condition.Expression, detail)}
}

// oneLine drops the source excerpts that CEL prints below each error: the error has the position,
// and the message already has the source. It also drops the name of the container, which is empty
// and which newer versions of CEL no longer print.
func oneLine(detail string) string {
	var kept []string
	for line := range strings.Lines(detail) {
		line = strings.TrimSuffix(strings.TrimSpace(line), " (in container '')")
		if line != "" && !strings.HasPrefix(line, "|") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "; ")
}
