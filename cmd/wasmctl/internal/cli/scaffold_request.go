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
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/kinds"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
)

// scaffoldRequestFlags are the flags of scaffold admission-request.
type scaffoldRequestFlags struct {
	operation, object, old string
	kubeconfig, cache      string
}

func (c *command) scaffoldAdmissionRequest() *cobra.Command {
	f := &scaffoldRequestFlags{}
	cmd := &cobra.Command{
		Use:   "admission-request",
		Short: "Write the AdmissionRequest of an object",
		Long: `Writes the AdmissionRequest that a server would send to a policy if somebody created,
updated or deleted an object. run accepts it.

The command knows the resources and scopes of Kubernetes' own kinds. For other kinds
it asks the cluster of the kubeconfig's current context, and keeps the answer. Without
a cluster, it writes what is usual, with a warning.`,
		Example: `  wasmctl scaffold admission-request -o CREATE --object pod.yaml >request.json
  wasmctl scaffold admission-request -o UPDATE --object new.yaml --old-object old.yaml
  wasmctl scaffold admission-request -o DELETE --old-object pod.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return c.writeRequest(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.operation, "operation", "o", "",
		"`operation`: "+strings.Join(review.Operations, ", ")+" (required)")
	flags.StringVar(&f.object, "object", "",
		"`file` with the object that is created, or its new state, in YAML or JSON")
	flags.StringVar(&f.old, "old-object", "",
		"`file` with the existing object that is updated or deleted, in YAML or JSON")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "",
		"kubeconfig `file` of the cluster that is asked for kinds (default KUBECONFIG, or ~/.kube/config)")
	flags.StringVar(&f.cache, "cache-directory", "",
		"`directory` for the cluster's answers (default wasmctl in the user's cache directory)")
	complete(cmd, "operation", review.Operations...)
	return cmd
}

// check returns an error if an object is missing that the operation needs.
func (f *scaffoldRequestFlags) check() error {
	if !slices.Contains(review.Operations, f.operation) {
		return usagef("--operation: there is no %q of an object: write one of %s", f.operation,
			strings.Join(review.Operations, ", "))
	}
	for _, flag := range []struct {
		name, path string
		wanted     bool
	}{{"object", f.object, f.operation != "DELETE"},
		{"old-object", f.old, f.operation != "CREATE"}} {
		switch {
		case flag.wanted && flag.path == "":
			return usagef("--%s is missing: %s operation requires an %s", flag.name, f.operation,
				strings.ReplaceAll(flag.name, "-", "_"))
		case !flag.wanted && flag.path != "":
			return usagef("--%s: %s operation does not require an %s: remove the flag", flag.name,
				f.operation, strings.ReplaceAll(flag.name, "-", "_"))
		}
	}
	return nil
}

func (c *command) writeRequest(ctx context.Context, f *scaffoldRequestFlags) error {
	var object, old []byte
	for _, file := range []struct {
		path string
		data *[]byte
	}{{f.object, &object}, {f.old, &old}} {
		if file.path == "" {
			continue
		}
		var err error
		if *file.data, err = c.read(file.path); err != nil {
			return err
		}
	}
	served := kinds.Options{
		Kubeconfig:     f.kubeconfig,
		CacheDirectory: (&sourceFlags{cache: f.cache}).directory("discovery"),
	}
	// The user is the one that kwctl uses.
	made := review.Object{
		UID:       "705ab4f5-6393-11e8-b7cc-42010a800002",
		Operation: f.operation,
		User:      "test-user",
		Groups:    []string{"system:masters"},
	}
	request, err := made.Request(object, old, func(kind schema.GroupVersionKind) review.Resource {
		defer c.Progress("Asking the cluster for " + kind.Kind)()
		resource, err := served.Find(ctx, kind)
		if err != nil {
			c.warn(
				fmt.Sprintf(
					"Could not find out how %s of %s is served, so the resource %s is a guess, and a namespace is not filled in: %s",
					kind.Kind, kind.GroupVersion(), resource.Plural, err))
		}
		return resource
	})
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(request, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.Out, string(text))
	return err
}
