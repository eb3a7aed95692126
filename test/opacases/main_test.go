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

package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	oparego "github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/test/cases"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// directory returns the directory of the cases.
func directory(t *testing.T) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/open-policy-agent/opa").Output()
	require.NoError(t, err)
	return filepath.Join(strings.TrimSpace(string(output)), "v1", "test", "cases", "testdata")
}

// Running all cases takes minutes; see make opa-cases.
func TestSampleOfCases(t *testing.T) {
	r, err := run(directory(t), "", 16)
	require.NoError(t, err)
	require.Empty(t, r.failures)
	require.Greater(t, r.passed, 200)
	require.Less(t, r.skipped, r.passed/4)
}

// Every exception must still be needed: the function is not provided, or the case exists.
func TestExceptionsAreNeeded(t *testing.T) {
	skip, err := readExceptions()
	require.NoError(t, err)
	for name, reason := range skip.Functions {
		require.NotEmpty(t, reason)
		require.Nil(t, topdown.Builtins{}.Builtin(name), "function %s is provided", name)
	}
	unknown := map[string]bool{}
	for note, reason := range skip.Notes {
		require.NotEmpty(t, reason)
		unknown[note] = true
	}
	for version := range versions {
		set, err := cases.Load(filepath.Join(directory(t), version))
		require.NoError(t, err)
		for _, c := range set.Cases {
			delete(unknown, c.Note)
		}
	}
	require.Empty(t, unknown, "these cases do not exist")
}

// The host provides or withholds exactly the functions that the compiler leaves to the host. A
// module that needs any other function did not come from the compiler.
func TestProvidedFunctionsMatchTheCompiler(t *testing.T) {
	// The compiler replaces some functions. json.is_valid is provided for modules of older
	// compilers.
	replaced := []string{"eq", "assign", "print", "rego.metadata.chain", "rego.metadata.rule"}
	alsoNative := []string{"json.is_valid"}
	policy, arguments := &strings.Builder{}, "input.a, input.b, input.c, input.d"
	policy.WriteString("package p\n")
	for n, f := range ast.Builtins {
		if !slices.Contains(replaced, f.Name) && !strings.HasPrefix(f.Name, "internal.") {
			fmt.Fprintf(policy, "r[%d] { x := %s(%s); x == x }\n", n, f.Name,
				strings.TrimSuffix(arguments[:min(len(arguments), 9*f.Decl.Arity())], ", "))
		}
	}
	compiled, err := oparego.New(oparego.Query("data.p.r"), oparego.SetRegoVersion(ast.RegoV0),
		oparego.Module("p.rego", policy.String())).Compile(t.Context())
	require.NoError(t, err)
	e, err := engine.New(engine.Options{Interpreter: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	needed := listener{}
	guest, err := rego.Load(t.Context(), e, compiled.Bytes, abi.ExecutionModeOPA, needed)
	require.NoError(t, err)
	guest.Close()
	for _, f := range ast.Builtins {
		lent := topdown.Builtins{}.Builtin(f.Name) != nil
		switch {
		case slices.Contains(alsoNative, f.Name):
			require.True(t, lent && !needed[f.Name], f.Name)
		case strings.HasPrefix(f.Name, "internal."):
		default:
			require.True(t, !lent || needed[f.Name],
				"%s is provided, but the compiler does not need it", f.Name)
			require.True(t, lent || topdown.Builtins{}.Withheld(f.Name) != "",
				"%s is neither provided nor withheld", f.Name)
		}
	}
}

// listener provides all functions, and records which ones a module needs.
type listener map[string]bool

func (l listener) Builtin(name string) rego.Builtin {
	l[name] = true
	return func(*rego.BuiltinCall) ([]byte, error) { return nil, nil }
}

func (listener) Withheld(string) string { return "" }
