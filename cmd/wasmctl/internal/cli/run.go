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

package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/evaluation"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci/images"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// runFlags are the flags of run.
type runFlags struct {
	sourceFlags
	hostCallFlags
	outputFlag
	verificationFlags
	settings               settingsFlags
	object                 objectFlags
	requestPath            string
	executionMode          string
	raw, allowContextAware bool
	hostCapabilities       []string
	timeout                time.Duration
	fuelProfile            string
}

func (c *command) run() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run POLICY",
		Short: "Evaluate a request with a policy",
		Long: `Evaluates a request and prints the AdmissionResponse as a line of JSON. The policy's
log goes to standard error. A rejected request is not an error.

POLICY is the path or URI of a module, or a YAML file with Kubewarden policies and
policy groups. The policies in a file are evaluated one after the other, with the
settings, mode and permissions that the file gives them. Each prints a line. Their
rules are ignored.

The request may also be an object, as you would apply it with kubectl, in YAML or
JSON. Flags set the operation and the user of the request that is made from it. The
resource is the usual plural of the kind.

The policy may change the object. First it validates its settings. If they are
invalid, the exit code is 1.

The cluster of the kubeconfig's current context answers host calls, or a recorded
session does.

With --fuel-profile, the command samples which functions burn fuel, and writes a line
for each stack of functions, in the format of flame graph tools. The functions have
names if the module was built with them: without -s for Go, and without strip for
Rust. Sampling takes time, so raise --timeout if necessary. It does not change the
fuel.`,
		Example: `  wasmctl run --request-path request.json --settings-json '{"labels": {"team": "."}}' policy.wasm
  wasmctl run -r pod.yaml --operation CREATE --user ann policy.wasm
  wasmctl run -r - registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3 <request.json
  wasmctl run -r request.json --fuel-profile fuel.folded --timeout 30s policy.wasm
  wasmctl run -r request.json --allow-context-aware --replay-host-capabilities-interactions session.yml policy.wasm`,
		Args: oneArgument("POLICY", "the path or URI of a module, or a file of manifests"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			if err := checkTimeout(cmd.Flags(), f.timeout); err != nil {
				return err
			}
			return c.runPolicy(cmd.Context(), f, arguments[0])
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.fuelProfile, "fuel-profile", "",
		"`file` for the fuel that each stack of functions burned; a summary goes to standard error")
	f.outputFlag.add(cmd.Flags(), "json", "yaml", "table")
	f.completeFormats(cmd)
	return cmd
}

func (f *runFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.requestPath, "request-path", "r", "",
		"`file` with an AdmissionReview, an AdmissionRequest or an object, in JSON or YAML, or - for standard input (required)")
	f.object.add(flags)
	f.settings.add(flags)
	flags.StringVarP(&f.executionMode, "execution-mode", "e", "",
		"`mode` of a policy whose metadata has none: opa, gatekeeper, kubewarden-wapc (or kubewarden), wasi")
	flags.BoolVar(&f.raw, "raw", false, "pass the request to the policy unchanged")
	flags.BoolVar(&f.allowContextAware, "allow-context-aware", false,
		"let the policy read the kinds that its metadata names")
	flags.StringArrayVar(&f.hostCapabilities, "allowed-host-capabilities", []string{"*"},
		"host capabilities that the policy may call, as `patterns` such as oci/*")
	flags.DurationVar(&f.timeout, "timeout", 0,
		"time limit of an evaluation, a `duration` (default limits.evaluationTimeout, 2s)")
	f.hostCallFlags.add(flags)
	f.sourceFlags.add(flags)
	f.verificationFlags.add(flags)
	complete(cmd, "execution-mode", evaluation.ExecutionModes()...)
}

func (c *command) runPolicy(ctx context.Context, f *runFlags, argument string) error {
	if err := f.check(); err != nil {
		return err
	}
	profile := &fuelProfile{}
	if f.fuelProfile != "" {
		f.sampler = profile.sampler()
	}
	return c.withPolicies(ctx, f, argument, func(policies []asked) error {
		for _, p := range policies {
			profile.begin(p.Name())
			response := c.review(ctx, p.Policy, p.request)
			profile.end()
			err := c.printResponse(&f.outputFlag, p.Name(), len(policies) > 1, response)
			if err != nil {
				return err
			}
		}
		if f.fuelProfile == "" {
			return nil
		}
		profile.summarize(c.Err)
		return writeWhole(f.fuelProfile, profile.write)
	})
}

// asked is a policy with the request for it.
type asked struct {
	*evaluation.Policy
	request *review.Request
}

// withPolicies loads the policies that the arguments name, and calls ask with each policy's
// request. It then ends the session with the host.
func (c *command) withPolicies(ctx context.Context, f *runFlags, argument string,
	ask func([]asked) error) (err error) {
	if f.requestPath == "" {
		return usagef(
			"--request-path is required: name a file with a request, or - for the standard input")
	}
	if err := f.checkSession(); err != nil {
		return err
	}
	object, err := f.object.object()
	if err != nil {
		return err
	}
	data, err := c.read(f.requestPath)
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	verifier, err := c.verifier(ctx, &f.verificationFlags)
	if err != nil {
		return err
	}
	fetcher, err := f.fetcher(verifier, c.Transferred)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fetcher.Close()) }()
	answers, finish, err := f.answers(c.images(ctx, &f.verificationFlags, fetcher))
	if err != nil {
		return err
	}
	evaluator, err := f.evaluator(fetcher, f.timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, evaluator.Close()) }()
	policies, err := c.loadToRun(ctx, f, evaluator, argument, answers)
	if err != nil {
		return err
	}
	defer func() {
		for _, policy := range policies {
			policy.Close()
		}
	}()
	var all []asked
	for _, policy := range policies {
		request, err := policy.ParseRequest(data, f.raw, object)
		if err == nil {
			err = f.object.checkUnused(request)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", inputName(f.requestPath), err)
		}
		all = append(all, asked{policy, request})
	}
	if err := ask(all); err != nil {
		return err
	}
	return finish(c.Err)
}

func (c *command) loadToRun(ctx context.Context, f *runFlags, evaluator *evaluation.Evaluator,
	argument string, answers *hostAnswers) ([]*evaluation.Policy, error) {
	defer c.Progress("Loading " + module.Redact(argument))()
	if isManifest(argument) {
		return c.loadManifests(ctx, f, evaluator, argument, answers)
	}
	return c.loadModule(ctx, f, evaluator, argument, answers)
}

// review evaluates a request. The policy's log is shown.
func (c *command) review(ctx context.Context, policy *evaluation.Policy,
	request *review.Request) *review.Response {
	done := c.Progress("Evaluating " + module.Redact(policy.Name()))
	response := policy.Review(c.heard(ctx), request)
	done()
	if response.Status != nil {
		c.warnOfLimit(response.Status.Message)
	}
	return response
}

// isManifest reports whether an argument names a file of manifests.
func isManifest(argument string) bool {
	return slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(argument))
}

// images returns what asks registries for policies, in the same way as modules are fetched.
func (c *command) images(ctx context.Context, f *verificationFlags,
	fetcher *sources.Fetcher) oci.Images {
	return host.Images(func() (o images.Options, err error) {
		if o.Sources, err = fetcher.Sources(c.quietly(ctx)); err == nil {
			o.Checker, err = imageChecker(f)
		}
		return o, err
	})
}

func (c *command) loadManifests(ctx context.Context, f *runFlags, evaluator *evaluation.Evaluator,
	path string, answers *hostAnswers) ([]*evaluation.Policy, error) {
	if err := c.checkManifestFlags(f); err != nil {
		return nil, err
	}
	content, err := c.read(path)
	if err != nil {
		return nil, err
	}
	return evaluator.LoadManifests(c.quietly(ctx), kubewarden.File{Path: path, Content: content},
		answers)
}

// checkManifestFlags refuses flags that duplicate fields of a manifest file. kwctl ignores these
// flags; under that name, they only cause a warning.
func (c *command) checkManifestFlags(f *runFlags) error {
	if f.raw {
		return usagef("--raw cannot be used with a file of manifests: name the module")
	}
	for _, flag := range []struct{ name, from string }{
		{"settings-path", "the settings come from the file of manifests (spec.settings)"},
		{"settings-json", "the settings come from the file of manifests (spec.settings)"},
		{"execution-mode",
			"the execution mode of a policy in a file of manifests comes from its module"},
		{"allow-context-aware",
			"the kinds that a policy may read come from the file of manifests (spec.contextAwareResources)"},
		{"allowed-host-capabilities",
			"the host capabilities of a policy in a file of manifests go by its kind"},
	} {
		if !f.object.flags.Changed(flag.name) {
			continue
		}
		if c.name != kwctl {
			return usagef("--%s: %s: remove the flag, or name the module instead of the file",
				flag.name, flag.from)
		}
		fmt.Fprintf(c.Err, "Warning: --%s is ignored: %s\n", flag.name, flag.from)
	}
	return nil
}

func (c *command) loadModule(ctx context.Context, f *runFlags, evaluator *evaluation.Evaluator,
	argument string, answers *hostAnswers) ([]*evaluation.Policy, error) {
	uri, err := sources.URI(argument)
	if err != nil {
		return nil, err
	}
	m := evaluation.Module{URI: uri, AllowContextAware: f.allowContextAware, Answers: answers}
	if m.Mode, err = evaluation.ParseExecutionMode(f.executionMode); err != nil {
		return nil, usageError{fmt.Errorf("--execution-mode: %w", err)}
	}
	if m.Capabilities, err = capabilities.ParsePatterns(f.hostCapabilities); err != nil {
		return nil, usageError{fmt.Errorf("--allowed-host-capabilities: %w", err)}
	}
	if m.Settings, err = c.settings(&f.settings); err != nil {
		return nil, err
	}
	policy, err := evaluator.Load(c.quietly(ctx), m)
	if err != nil {
		return nil, err
	}
	if len(policy.Denied) > 0 {
		fmt.Fprintf(c.Err,
			"Warning: the policy wants to read %s, but may not: to allow it, add --allow-context-aware\n",
			listed(kindNames(policy.Denied)))
	}
	return []*evaluation.Policy{policy}, nil
}
