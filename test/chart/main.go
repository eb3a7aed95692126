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

// Command chart renders the webhook server's chart with its default values, and prints the
// manifests together with a namespace. It has its own module, so that no other module depends on
// Helm.
package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

// The rendered release.
const (
	releaseName = "wasm-admission"
	namespace   = "wasm-admission"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chart DIRECTORY")
		os.Exit(2)
	}
	if err := printManifests(os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

const head = `# Generated from the chart by make generate. Set the image and the contents of the
# ConfigMaps. The certificate comes from the Secret wasm-admission-webhook-tls; see
# docs/webhook.md.
apiVersion: v1
kind: Namespace
metadata:
  name: ` + namespace + `
  labels:
    pod-security.kubernetes.io/enforce: restricted
`

func printManifests(w io.Writer, chart string) error {
	documents, err := render(chart, nil)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, head+"---\n"+strings.Join(documents, "---\n"))
	return err
}

var separator = regexp.MustCompile(`(?m)^---\n`)

// render renders the chart in a directory with values, and returns the documents in the order of
// their files.
func render(directory string, values map[string]any) ([]string, error) {
	chart, err := loader.Load(directory)
	if err != nil {
		return nil, err
	}
	merged, err := util.ToRenderValues(chart, values, common.ReleaseOptions{
		Name:      releaseName,
		Namespace: namespace,
		Revision:  1,
		IsInstall: true,
	}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, merged)
	if err != nil {
		return nil, err
	}
	names := slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		return cmp.Compare(filepath.Base(a), filepath.Base(b))
	})
	var documents []string
	for _, name := range names {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		for _, document := range separator.Split(files[name], -1) {
			if document = strings.TrimSpace(document); document != "" {
				documents = append(documents, document+"\n")
			}
		}
	}
	return documents, nil
}
