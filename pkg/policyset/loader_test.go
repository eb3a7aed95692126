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

package policyset_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	stdruntime "runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// modules returns the URI of a directory with copies of the guests in test/wat.
func modules(t testing.TB) string {
	t.Helper()
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	files, err := filepath.Glob(filepath.Join("..", "..", "test", "wat", "*.wasm"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		wasm, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(directory, filepath.Base(file)), wasm, 0o600))
	}
	return "file://" + directory
}

func newLoader(t testing.TB) *policyset.Loader {
	t.Helper()
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return &policyset.Loader{Engine: e}
}

func configuration(policies ...wasmadmission.Policy) *wasmadmission.WasmAdmissionConfiguration {
	for n := range policies {
		policies[n].Settings = runtime.RawExtension{Raw: []byte("{}")}
		policies[n].FailurePolicy = admissionregistrationv1.Fail
		policies[n].MatchPolicy = admissionregistrationv1.Equivalent
	}
	return &wasmadmission.WasmAdmissionConfiguration{Policies: policies,
		Limits: wasmadmission.Limits{
			ModuleSize: 1 << 20, RequestSize: 1 << 10, ResponseSize: 1 << 10,
			HostCallPayloadSize: 1 << 10,
			LogLineSize:         1 << 10, HostCalls: 10, GuestLogLinesPerSecond: 10,
			EvaluationTimeout: metav1.Duration{Duration: 10 * time.Second},
		}}
}

func TestLoad(t *testing.T) {
	from := modules(t)
	own := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{"CREATE"},
		Rule: admissionregistrationv1.Rule{
			APIGroups:   []string{"apps"},
			APIVersions: []string{"v1"},
			Resources:   []string{"deployments"},
		},
	}}
	set, errs := newLoader(t).Load(t.Context(), configuration(
		wasmadmission.Policy{Name: "second", Module: from + "/deny.wasm", Rules: own},
		wasmadmission.Policy{Name: "first", Module: from + "/accept.wasm"},
		wasmadmission.Policy{Name: "third", Module: from + "/proc-exit-zero-start.wasm"},
	))
	require.Empty(t, errs)
	defer set.Close()
	policies := set.Policies()
	require.Len(t, policies, 3)
	require.Equal(t, []string{"first", "second", "third"},
		[]string{policies[0].Name(), policies[1].Name(), policies[2].Name()})
	require.Equal(t, own, policies[1].Spec().Rules)
	require.Equal(t, []string{"configmaps", "pods"}, policies[0].Spec().Rules[0].Resources,
		"rules that are left out come from the metadata")
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", policies[0].Digest())
	require.Equal(t, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
		policies[0].SettingsHash(), "as sha256sum prints it for {}")

	response, usage, err := policies[0].Evaluate(t.Context(), []byte("{}"))
	require.NoError(t, err)
	require.True(t, response.Accepted)
	require.Positive(t, usage.Fuel)
	require.EqualValues(t, 64<<10, usage.MemoryBytes, "accept.wat has a page")
	response, _, err = policies[1].Evaluate(t.Context(), []byte("{}"))
	require.NoError(t, err)
	require.False(t, response.Accepted)
	require.Equal(t, "denied by deny.wat", response.Message)
	require.EqualValues(t, 451, response.Code)
}

// gathering answers when a number of modules are requested at the same time.
type gathering struct {
	policyset.Fetcher
	missing atomic.Int32
	all     chan struct{}
}

func (g *gathering) Get(ctx context.Context, request module.Request) (*module.Module, error) {
	if g.missing.Add(-1) == 0 {
		close(g.all)
	}
	select {
	case <-g.all:
		return g.Fetcher.Get(ctx, request)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// A registry that does not respond delays loading once, not once for each policy, however few
// processors there are.
func TestModulesAreFetchedTogether(t *testing.T) {
	defer stdruntime.GOMAXPROCS(stdruntime.GOMAXPROCS(1))
	from := modules(t)
	var policies []wasmadmission.Policy
	for n := range 8 {
		policies = append(policies,
			wasmadmission.Policy{Name: fmt.Sprint("p", n), Module: from + "/accept.wasm"})
	}
	fetcher := &gathering{Fetcher: &module.Fetcher{MaxBytes: 1 << 20}, all: make(chan struct{})}
	fetcher.missing.Store(int32(len(policies)))
	loader := newLoader(t)
	loader.Fetcher = fetcher
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	set, errs := loader.Load(ctx, configuration(policies...))
	require.Empty(t, errs)
	set.Close()
}

func TestLoadFindsAllProblems(t *testing.T) {
	from := modules(t)
	require.NoError(t,
		os.WriteFile(from[len("file://"):]+"/plain.wasm", []byte("\x00asm\x01\x00\x00\x00"), 0o600))
	config := configuration(
		wasmadmission.Policy{Name: "missing", Module: from + "/nowhere.wasm"},
		wasmadmission.Policy{Name: "digest", Module: from + "/accept.wasm", Digest: "sha256:00"},
		wasmadmission.Policy{Name: "plain", Module: from + "/plain.wasm"},
		wasmadmission.Policy{Name: "import", Module: from + "/unknown-import.wasm"},
		wasmadmission.Policy{Name: "settings", Module: from + "/settings-refused.wasm"},
		wasmadmission.Policy{Name: "start", Module: from + "/proc-exit-one-start.wasm"},
		wasmadmission.Policy{Name: "fine", Module: from + "/accept.wasm"},
	)
	set, errs := newLoader(t).Load(t.Context(), config)
	require.Nil(t, set)
	require.Len(t, errs, 6)
	for n, want := range []string{
		"policies[missing].module: Invalid value: ",
		"policies[digest].digest: Invalid value: ",
		"policies[plain].module: Invalid value: ",
		"policies[import].module: Invalid value: ",
		"policies[settings].settings: Invalid value: the policy refuses these settings: ",
		"policies[start].module: Invalid value: ",
	} {
		require.ErrorContains(t, errs[n], want)
	}
	require.ErrorContains(t, errs[2], "the module has no metadata")
	require.ErrorContains(t, errs[3], "env.mystery")
	require.ErrorContains(t, errs[5], "guest exited with status 1")
}

func TestWASIPolicies(t *testing.T) {
	binary, err := os.ReadFile("testdata/program.wasm")
	require.NoError(t, err)
	module, err := wasm.Decode(binary)
	require.NoError(t, err)
	metadata :=
		`{"executionMode": "wasi", "mutating": false, "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}`
	module.Custom = append(module.Custom,
		wasm.CustomSection{Name: abi.MetadataSection, Payload: []byte(metadata)})
	from := modules(t)
	require.NoError(t, os.WriteFile(from[len("file://"):]+"/program.wasm", module.Encode(), 0o600))
	set, errs := newLoader(t).Load(t.Context(),
		configuration(wasmadmission.Policy{Name: "program", Module: from + "/program.wasm"}))
	require.Empty(t, errs)
	defer set.Close()
	response, _, err := set.Policies()[0].Evaluate(t.Context(), []byte(`{}`))
	require.NoError(t, err)
	require.True(t, response.Accepted)
	require.Equal(t, "from a program", response.Message)
}

// A program that does not need an execution mode does not link its library.
func TestExecutionModesAreInjected(t *testing.T) {
	from := modules(t)
	metadata :=
		`{"executionMode": "opa", "mutating": false, "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}`
	module := wasm.Module{
		Custom: []wasm.CustomSection{{Name: abi.MetadataSection, Payload: []byte(metadata)}},
	}
	require.NoError(t, os.WriteFile(from[len("file://"):]+"/rego.wasm", module.Encode(), 0o600))
	loader := newLoader(t)
	_, errs := loader.Load(t.Context(),
		configuration(wasmadmission.Policy{Name: "rego", Module: from + "/rego.wasm"}))
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], `policies[rego].module: Invalid value: `)
	require.ErrorContains(t, errs[0],
		`the policy's execution mode is "opa", which this server was built without`)

	handed := errors.New("handed in")
	loader.Guests = map[abi.ExecutionMode]policyset.GuestLoader{
		abi.ExecutionModeOPA: func(context.Context, *engine.Engine, []byte) (abi.Guest, error) {
			return nil, handed
		},
	}
	_, errs = loader.Load(t.Context(),
		configuration(wasmadmission.Policy{Name: "rego", Module: from + "/rego.wasm"}))
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], handed.Error())
}

// The limits of the configuration apply to guests.
func TestLimitsReachTheGuest(t *testing.T) {
	from := modules(t)
	config := configuration(wasmadmission.Policy{Name: "spin", Module: from + "/spin.wasm"})
	config.Limits.EvaluationTimeout = metav1.Duration{Duration: 20 * time.Millisecond}
	set, errs := newLoader(t).Load(t.Context(), config)
	require.Empty(t, errs)
	defer set.Close()
	_, _, err := set.Policies()[0].Evaluate(t.Context(), []byte("{}"))
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	var evaluation *policyset.EvaluationError
	require.ErrorAs(t, err, &evaluation)
	require.Equal(t, "spin", evaluation.Policy)
	require.Equal(t, set.Policies()[0].Digest(), evaluation.Digest)

	_, _, err = set.Policies()[0].Evaluate(t.Context(), make([]byte, 2<<10))
	require.ErrorContains(t, err, "bytes of request, at most 1024 are allowed")

	config = configuration(wasmadmission.Policy{Name: "large", Module: from + "/accept.wasm"})
	config.Limits.ModuleSize = 10
	_, errs = newLoader(t).Load(t.Context(), config)
	require.ErrorContains(t, errs.ToAggregate(), "bytes of module, at most 10 are allowed")

	config = configuration(wasmadmission.Policy{
		Name:               "slow",
		Module:             from + "/spin.wasm",
		TimeoutEvalSeconds: new(int32(1)),
	})
	config.Limits.EvaluationTimeout = metav1.Duration{Duration: time.Hour}
	slow, errs := newLoader(t).Load(t.Context(), config)
	require.Empty(t, errs)
	defer slow.Close()
	_, _, err = slow.Policies()[0].Evaluate(t.Context(), []byte("{}"))
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err),
		"a policy's own timeout replaces the general one")
}

// A tool can supply the metadata that a module lacks, and answer a policy's host calls.
func TestLoaderIsAdjusted(t *testing.T) {
	from := modules(t)
	content, err := os.ReadFile(from[len("file://"):] + "/accept.wasm")
	require.NoError(t, err)
	module, err := wasm.Decode(content)
	require.NoError(t, err)
	module.Custom = nil
	require.NoError(t, os.WriteFile(from[len("file://"):]+"/plain.wasm", module.Encode(), 0o600))
	config := configuration(wasmadmission.Policy{Name: "plain", Module: from + "/plain.wasm"})
	loader := newLoader(t)
	_, errs := loader.Load(t.Context(), config)
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "the module has no metadata")

	loader.Metadata = func([]byte) (*abi.Metadata, error) {
		rule := abi.Rule{
			APIGroups:   []string{""},
			APIVersions: []string{"v1"},
			Resources:   []string{"pods"},
			Operations:  []string{"CREATE"},
		}
		return &abi.Metadata{ExecutionMode: abi.ExecutionModeWaPC, Rules: []abi.Rule{rule}}, nil
	}
	var adjusted []string
	loader.Adjust = func(spec *wasmadmission.Policy, env *abi.Environment) {
		adjusted = append(adjusted, spec.Name)
		env.Limits.RequestBytes = 1
	}
	_, errs = loader.Load(t.Context(), config)
	require.Equal(t, []string{"plain"}, adjusted)
	require.Len(t, errs, 1, "its settings are longer than a byte")
	require.ErrorContains(t, errs[0], "limit exceeded: 2 bytes of request, at most 1 are allowed")
}

// The metadata of a module is read once, however many policies have it under whatever URI, and even
// if loading fails.
func TestMetadataIsReadOncePerModule(t *testing.T) {
	from := modules(t)
	accept, err := os.ReadFile(from[len("file://"):] + "/accept.wasm")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(from[len("file://"):]+"/same.wasm", accept, 0o600))
	var policies []wasmadmission.Policy
	for n := range 50 {
		module := []string{"/accept.wasm", "/same.wasm", "/deny.wasm"}[n%3]
		policies = append(policies,
			wasmadmission.Policy{Name: fmt.Sprintf("p-%02d", n), Module: from + module})
	}
	loader := newLoader(t)
	var reads atomic.Int32
	loader.Metadata = func(wasm []byte) (*abi.Metadata, error) {
		reads.Add(1)
		return abi.ReadMetadata(wasm)
	}
	set, errs := loader.Load(t.Context(), configuration(policies...))
	require.Empty(t, errs)
	require.EqualValues(t, 2, reads.Load())
	require.Len(t, set.Policies(), 50)
	for _, p := range set.Policies() {
		require.NotEmpty(t, p.Spec().Rules, "from the metadata")
	}
	set.Close()

	loader.Metadata = func([]byte) (*abi.Metadata, error) {
		reads.Add(1)
		return nil, errors.New("no metadata")
	}
	_, errs = loader.Load(t.Context(), configuration(policies...))
	require.Len(t, errs, 50, "each policy has the problem")
	require.EqualValues(t, 4, reads.Load())
}
