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

package reload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// The two sets. Both have the policies a and b, which deny all ConfigMaps with a message that names
// the set. If half a set judged a request, its response names both sets, or has only one message.
// The sets use different modules, so that modules also come and go.
var (
	guests   = [2]string{"deny", "obedient"}
	verdicts = [2]string{verdict(1), verdict(2)}
)

// fillers is the number of policies that do nothing. They make it twenty policies in total.
const fillers = 18

func verdict(set int) string {
	return fmt.Sprintf(
		`WasmAdmission policy "clusterwide-a" denied the request: set %[1]d; WasmAdmission policy "clusterwide-b" denied the request: set %[1]d`,
		set)
}

// policies is a policy directory that looks like the volume of a ConfigMap.
type policies struct {
	root    string
	modules string
	version int
}

func newPolicies(modules string) (*policies, error) {
	root, err := os.MkdirTemp("", "wasm-admission-soak-")
	if err != nil {
		return nil, err
	}
	p := &policies{root: root, modules: modules}
	if err := os.Mkdir(p.path("policies.d"), 0o700); err != nil {
		return nil, err
	}
	if err := p.put(0, false); err != nil {
		return nil, err
	}
	for _, name := range p.names() {
		err := os.Symlink(filepath.Join("..data", name), p.path("policies.d", name))
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *policies) path(parts ...string) string {
	return filepath.Join(append([]string{p.root}, parts...)...)
}
func (p *policies) remove() error { return os.RemoveAll(p.root) }

func (p *policies) configuration() string {
	return fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    policyDirectory: %s
    stateDirectory: %s
`, p.path("policies.d"), p.path("state"))
}

func (p *policies) names() []string {
	names := []string{"a.yaml", "b.yaml"}
	for n := range fillers {
		names = append(names, fmt.Sprintf("filler-%d.yaml", n))
	}
	return names
}

// put replaces all manifests with those of a set, with new settings, in the way that Kubernetes
// replaces a volume's content. If broken is set, the content is invalid.
func (p *policies) put(set int, broken bool) error {
	before := p.path("policies.d", fmt.Sprintf("..v%d", p.version))
	p.version++
	directory := fmt.Sprintf("..v%d", p.version)
	if err := os.Mkdir(p.path("policies.d", directory), 0o700); err != nil {
		return err
	}
	for _, name := range p.names() {
		content := p.manifest(strings.TrimSuffix(name, ".yaml"), set)
		if broken && name == "b.yaml" {
			content = content[:len(content)/2] + "\n\t{"
		}
		if err := os.WriteFile(p.path("policies.d", directory, name), []byte(content),
			0o600); err != nil {
			return err
		}
	}
	if err := os.Symlink(directory, p.path("policies.d", "..data_tmp")); err != nil {
		return err
	}
	err := os.Rename(p.path("policies.d", "..data_tmp"), p.path("policies.d", "..data"))
	if err != nil {
		return err
	}
	return os.RemoveAll(before)
}

func (p *policies) manifest(name string, set int) string {
	guest, settings, group, resource := guests[set],
		fmt.Sprintf(`{told: "do:d", version: %d}`, p.version), "", "configmaps"
	if strings.HasPrefix(name, "filler") {
		guest, settings, group, resource = "accept", "{}", "soak.example.com", "nothings"
	}
	return fmt.Sprintf(`apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata:
  name: %s
spec:
  module: file://%s
  settings: %s
  mutating: false
  message: set %d
  rules:
  - {apiGroups: ["%s"], apiVersions: [v1], resources: [%s], operations: [CREATE]}
`, name, filepath.Join(p.modules, guest+".wasm"), settings, set+1, group, resource)
}

// change changes the policies until there were enough requests and enough changes. It alternates
// between switching to the other set and changing the settings of the same set, and every tenth
// change is broken. It waits for every change to take effect.
func (p *policies) change(ctx context.Context, server *harness.Server, report *Report, least int,
	enough <-chan struct{}) error {
	set := 0
	before, err := observe(ctx, server)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		select {
		case <-enough:
			if n > least {
				return nil
			}
		default:
		}
		broken, settings := n%10 == 0, n%2 == 1
		if !settings && !broken {
			set = 1 - set
		}
		if err := p.put(set, broken); err != nil {
			return err
		}
		after, err := before.changed(ctx, server, broken)
		if err != nil {
			return fmt.Errorf("change %d: %w", n, err)
		}
		report.Changes++
		switch {
		case broken:
			report.Bad++
		case settings && after.succeeded == before.succeeded+1:
			report.Settings = append(report.Settings, after.took-before.took)
		}
		before = after
	}
}

// observation holds the server's metrics about reloads.
type observation struct {
	succeeded, failed int
	took              time.Duration // of all successful reloads
}

func observe(ctx context.Context, server *harness.Server) (o observation, err error) {
	text, err := server.Metrics(ctx)
	if err != nil {
		return o, err
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, _ := strconv.ParseFloat(value, 64) // values that are not numbers are not used
		switch name {
		case `apiserver_wasm_admission_reload_duration_seconds_count{result="succeeded"}`:
			o.succeeded = int(number)
		case `apiserver_wasm_admission_reload_duration_seconds_count{result="failed"}`:
			o.failed = int(number)
		case `apiserver_wasm_admission_reload_duration_seconds_sum{result="succeeded"}`:
			o.took = time.Duration(number * float64(time.Second))
		}
	}
	return o, nil
}

// changed waits until the server has applied or refused a change.
func (o observation) changed(ctx context.Context, server *harness.Server,
	broken bool) (observation, error) {
	timeout, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		now, err := observe(timeout, server)
		switch {
		case err != nil:
			return now, err
		case broken && now.failed > o.failed, !broken && now.succeeded > o.succeeded:
			return now, nil
		}
		select {
		case <-timeout.Done():
			return now, fmt.Errorf("the server did not apply the change: %w", timeout.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
