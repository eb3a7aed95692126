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

// Package monitoring tests deploy/monitoring against the server: every query uses only existing
// metrics and labels, and returns a result on a real Prometheus that scraped a real server under
// load.
package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// query is a query of a rule or of a panel.
type query struct {
	// where names the rule or the panel, and expr is the query in PromQL. The query of a panel may
	// contain Grafana's variables.
	where, expr string
	// legend is the template for the names of a panel's series. instant is set if the panel only
	// shows the present.
	legend  string
	instant bool
}

// panel is a panel of the dashboard with its queries.
type panel struct {
	title, description, unit string
	row                      string
	queries                  []query
}

// dashboardFile holds the fields of a dashboard that the tests use. All other fields are ignored.
type dashboardFile struct {
	Title         string `json:"title"`
	UID           string `json:"uid"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	} `json:"templating"`
	Panels []struct {
		ID          int
		Type        string
		Title       string
		Description string
		GridPos     struct{ H, W, X, Y int }
		FieldConfig struct{ Defaults struct{ Unit string } }
		Datasource  struct{ Type, UID string }
		Targets     []struct {
			RefID        string
			Expr         string
			LegendFormat string
			Instant      bool
		}
	} `json:"panels"`
}

// readDashboard reads a Grafana dashboard.
func readDashboard(path string) (*dashboardFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &dashboardFile{}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// panels returns all panels except rows.
func (d *dashboardFile) panels() (panels []panel) {
	row := ""
	for _, p := range d.Panels {
		if p.Type == "row" {
			row = p.Title
			continue
		}
		shown := panel{
			title:       p.Title,
			description: p.Description,
			unit:        p.FieldConfig.Defaults.Unit,
			row:         row,
		}
		for _, t := range p.Targets {
			shown.queries = append(shown.queries,
				query{
					where:   fmt.Sprintf("panel %q %s", p.Title, t.RefID),
					expr:    t.Expr,
					legend:  t.LegendFormat,
					instant: t.Instant,
				})
		}
		panels = append(panels, shown)
	}
	return panels
}

// rule is a Prometheus rule: a recording rule or an alert.
type rule struct {
	Record      string            `json:"record"`
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// readRules reads the rules of a file, strictly.
func readRules(path string) (rules []rule, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []rule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules, nil
}

// query returns the query of a rule.
func (r rule) query() query { return query{where: "rule " + r.Record + r.Alert, expr: r.Expr} }

// metric is a row in docs/metrics.md.
type metric struct {
	kind   string
	labels []string
}

var (
	rowPattern      = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| ([^|]*) \\|")
	selectorPattern = regexp.MustCompile(
		`\b((?:apiserver_wasm_admission_|wasm_admission:)[\w:]+)(?:\{([^}]*)\})?`)
	labelPattern = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"`)
	groupPattern = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
)

// readMetrics reads docs/metrics.md, which is generated.
func readMetrics(path string) (map[string]metric, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	metrics := map[string]metric{}
	for _, row := range rowPattern.FindAllStringSubmatch(string(text), -1) {
		metrics[row[1]] = metric{
			kind: row[2],
			labels: strings.FieldsFunc(row[3], func(r rune) bool {
				return strings.ContainsRune("`, ", r)
			}),
		}
	}
	return metrics, nil
}

// unknown returns the metrics and labels in a query that do not exist. recorded are the names of
// the recording rules.
func (q query) unknown(metrics map[string]metric, recorded []string) (unknown []string) {
	labels := []string{"job", "instance", "le"}
	for _, selector := range selectorPattern.FindAllStringSubmatch(q.expr, -1) {
		name := selector[1]
		if slices.Contains(recorded, name) {
			labels = append(labels, "policy", "outcome")
			continue
		}
		m, ok := find(metrics, name)
		if !ok {
			unknown = append(unknown, name)
			continue
		}
		labels = append(labels, m.labels...)
		for _, label := range labelPattern.FindAllStringSubmatch(selector[2], -1) {
			if own := append(slices.Clone(m.labels), "job", "instance"); !slices.Contains(own,
				label[1]) {
				unknown = append(unknown, name+"{"+label[1]+"}")
			}
		}
	}
	for _, group := range groupPattern.FindAllStringSubmatch(q.expr, -1) {
		for label := range strings.SplitSeq(group[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(labels, label) {
				unknown = append(unknown, "by ("+label+")")
			}
		}
	}
	return unknown
}

// find returns the metric that a name in a query belongs to. The names of a histogram's series have
// suffixes.
func find(metrics map[string]metric, name string) (metric, bool) {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && metrics[base].kind == "histogram" {
			return metrics[base], true
		}
	}
	m, ok := metrics[name]
	return m, ok && m.kind != "histogram"
}
