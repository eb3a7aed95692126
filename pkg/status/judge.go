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

package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// Seen is a Lease from the point of view of a repeated observer.
type Seen struct {
	Lease *coordinationv1.Lease
	// Unchanged is how long its renewTime has stayed the same, by the observer's clock. The clocks
	// of other machines do not matter.
	Unchanged time.Duration
}

// stale reports whether the server of a Lease has stopped renewing it.
func (s *Seen) stale(after time.Duration) bool { return s.Unchanged > after }

// Server is one line of a table.
type Server struct {
	// Lease is the name of the server's Lease, or of its identity Lease if it has no status.
	Lease string `json:"lease"`
	// State is the state of the server.
	State State `json:"state"`
	// Reason says why the state is unknown.
	Reason string `json:"reason,omitempty"`
	// SecondsUnchanged is for how many seconds no renewal of the Lease was seen.
	SecondsUnchanged int64 `json:"secondsUnchanged"`
	// Report is the last report of the server, or nil if it is not known.
	Report *Report `json:"report,omitempty"`
}

// Name returns the name of the server for people.
func (s *Server) Name() string {
	if s.Report == nil {
		return line(s.Lease, maxNameBytes)
	}
	return cmp.Or(s.Report.Host, line(s.Lease, maxNameBytes))
}

// Table describes all servers of a cluster.
type Table struct {
	// Servers are sorted by name.
	Servers []Server `json:"servers"`
	// RunningSets is how many different sets of policies are served. Configurations is how many
	// different configurations there are, apart from policies. Both leave out unknown servers.
	RunningSets    int `json:"runningSets"`
	Configurations int `json:"configurations"`
	// Skew describes how servers differ, or is "" if they do not.
	Skew string `json:"skew,omitempty"`
}

// Count returns how many servers are in a state.
func (t *Table) Count(state State) int {
	count := 0
	for n := range t.Servers {
		if t.Servers[n].State == state {
			count++
		}
	}
	return count
}

// Judge creates a table from Leases: those with a status, and the identity Leases, which show which
// apiservers exist. An apiserver without a status is unknown: it runs no policies, or cannot write
// Leases.
func Judge(statuses, identities []Seen) *Table {
	t := &Table{Servers: []Server{}}
	statuses, identities = t.bound(statuses, Label), t.bound(identities, identityLabel)
	hosts := map[string]bool{}
	for _, seen := range statuses {
		if !isStatus(seen.Lease) {
			continue
		}
		s := Server{Lease: seen.Lease.Name, SecondsUnchanged: int64(seen.Unchanged / time.Second)}
		report, err := Decode(seen.Lease)
		switch {
		case err != nil:
			s.State, s.Reason = StateUnknown, "the Lease cannot be read: "+err.Error()
		case seen.stale(durationOf(seen.Lease)):
			s.State, s.Reason = StateUnknown,
				"the Lease is not renewed: the server has ended without removing it, or cannot write"
		default:
			s.State = report.State
		}
		if s.Report = report; report != nil {
			hosts[report.Host] = true
		}
		t.Servers = append(t.Servers, s)
	}
	for _, seen := range identities {
		host := line(seen.Lease.Labels[hostLabel], maxNameBytes)
		// A server that has ended leaves its identity Lease for hours.
		if hosts[host] || seen.stale(renewalsADuration*DefaultRenewEvery) {
			continue
		}
		t.Servers = append(t.Servers, Server{
			Lease: seen.Lease.Name, State: StateUnknown,
			SecondsUnchanged: int64(seen.Unchanged / time.Second),
			Reason: "apiserver " + host +
				" has no status: it runs without the plugin or its feature gate, or cannot write",
		})
	}
	slices.SortFunc(t.Servers, func(a, b Server) int {
		return cmp.Or(cmp.Compare(a.Name(), b.Name()), cmp.Compare(a.Lease, b.Lease))
	})
	t.compare()
	return t
}

// bound returns the Leases up to the limit. If there are more, they may include servers, which then
// are unknown. Otherwise anyone who may write Leases could hide a server behind names that sort
// before it.
func (t *Table) bound(seen []Seen, label string) []Seen {
	if len(seen) <= maxLeases {
		return seen
	}
	t.Servers = append(t.Servers, Server{
		Lease: moreName, State: StateUnknown,
		Reason: fmt.Sprintf(
			"more than %d Leases have the label %s, and only the first of them are read: remove those that belong to no server",
			maxLeases, label),
	})
	return seen[:maxLeases]
}

// moreName is the name of the table's line for Leases beyond the limit. No Lease has such a name.
const moreName = "(more)"

// compare finds out how servers differ.
func (t *Table) compare() {
	running, configurations := map[string]bool{}, map[string]bool{}
	for n := range t.Servers {
		if s := &t.Servers[n]; s.State != StateUnknown {
			running[s.Report.Running], configurations[s.Report.Configuration] = true, true
		}
	}
	t.RunningSets, t.Configurations = len(running), len(configurations)
	switch {
	case len(running) > 1:
		t.Skew = fmt.Sprintf("servers run %d different sets of policies", len(running))
	case len(configurations) > 1:
		t.Skew =
			fmt.Sprintf(
				"servers run the same policies with %d different configurations of everything else, such as limits and exemptions",
				len(configurations))
	}
}
