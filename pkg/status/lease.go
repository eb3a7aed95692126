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
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The place of the Leases of apiservers, and what identifies them.
const (
	// Namespace is the namespace of the Leases of apiservers.
	Namespace = "kube-system"
	// NamePrefix is the prefix of their names. Package loopback relies on it: policies do not
	// evaluate the apiserver's writes to such Leases.
	NamePrefix = "wasm-admission-apiserver-"
	// Label is a label of each Lease, with the value LabelValue. It differs from the label of the
	// identity Leases, by which apiservers count their peers.
	Label      = "wasm.admission.k8s.io/status"
	LabelValue = "apiserver"
	// Selector selects them.
	Selector = Label + "=" + LabelValue

	// webhookValue is the value of Label on the Leases of webhook servers.
	webhookValue = "webhook"

	// RunningLabel, DesiredLabel and StateLabel are for kubectl get lease -L. Hashes are cut to
	// eight digits, because a full hash is too long for a label.
	RunningLabel = "wasm.admission.k8s.io/running"
	DesiredLabel = "wasm.admission.k8s.io/desired"
	StateLabel   = "wasm.admission.k8s.io/state"

	// Annotation holds the report in JSON.
	Annotation = "wasm.admission.k8s.io/report"
)

// The labels of the identity Leases of apiservers.
const (
	identityLabel    = "apiserver.kubernetes.io/identity"
	identitySelector = identityLabel + "=kube-apiserver"
	hostLabel        = "kubernetes.io/hostname"
)

// How often Leases are renewed, and the limits that follow.
const (
	// DefaultRenewEvery is how often an unchanged Lease is renewed. Identity Leases are renewed
	// four times as often, so these Leases add a quarter to their cost in etcd.
	DefaultRenewEvery = 40 * time.Second
	// renewalsADuration is how many renewals a Lease lasts. One may be lost and another late before
	// the server counts as unknown.
	renewalsADuration = 3
	// durationsUntilCollected is after how many durations without a renewal a Lease is removed.
	// People and alerts have enough time before that to see that the server is unknown.
	durationsUntilCollected = 10
	// leastDuration and mostDuration bound the duration in a Lease that is read.
	leastDuration, mostDuration = time.Second, 10 * time.Minute
)

// Place is where the Leases of servers are that are compared with each other. The zero value is the
// place of apiservers.
type Place struct {
	// webhooks is the namespace of webhook servers, or "" for apiservers.
	webhooks string
}

// Webhooks returns the place of the webhook servers in a namespace.
func Webhooks(namespace string) Place { return Place{webhooks: namespace} }

// Namespace returns the namespace of the Leases.
func (p Place) Namespace() string { return cmp.Or(p.webhooks, Namespace) }

func (p Place) value() string {
	if p.webhooks != "" {
		return webhookValue
	}
	return LabelValue
}

// Selector returns the label selector of the Leases.
func (p Place) Selector() string { return Label + "=" + p.value() }

func prefixOf(value string) string { return "wasm-admission-" + value + "-" }

// Name returns the name of the Lease of an apiserver. The address distinguishes servers on hosts
// with the same name, for example in network namespaces of one machine.
func Name(host, address string) string { return Place{}.Name(host, address) }

// Name returns the name of the Lease of a server. The address distinguishes servers on hosts with
// the same name, for example in network namespaces of one machine.
func (p Place) Name(host, address string) string {
	sum := sha256.Sum256([]byte(host + "\x00" + address))
	return prefixOf(p.value()) +
		strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// Encode returns the Lease with a report of an apiserver. It bounds the report. The Lease must be
// renewed every renewEvery.
func Encode(name string, report Report, renewEvery time.Duration) (*coordinationv1.Lease, error) {
	return Place{}.encode(name, report, renewEvery)
}

func (p Place) encode(name string, report Report,
	renewEvery time.Duration) (*coordinationv1.Lease, error) {
	report.bound()
	text, err := json.Marshal(report)
	if err != nil {
		return nil, fmt.Errorf("encoding the status: %w", err)
	}
	holder := holderOf(&report)
	seconds := int32(max(1, (renewalsADuration*renewEvery+time.Second-1)/time.Second))
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: p.Namespace(),
			Labels: map[string]string{
				Label: p.value(), StateLabel: string(report.State),
				RunningLabel: labelOf(report.Running), DesiredLabel: labelOf(report.Desired),
			},
			Annotations: map[string]string{Annotation: string(text)},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds},
	}, nil
}

// holderOf returns the text that kubectl get lease shows for a server.
func holderOf(r *Report) string {
	refused, policies := "", "policies"
	if r.State == StateRefused {
		refused = " REFUSED"
	}
	if r.PolicyCount == 1 {
		policies = "policy"
	}
	return fmt.Sprintf("%s running=%s desired=%s%s %d %s", cmp.Or(line(r.Host, 63), "unknown"),
		Short(r.Running), Short(r.Desired), refused, r.PolicyCount, policies)
}

var labelValue = regexp.MustCompile("^[A-Za-z0-9]{1,8}$")

// labelOf returns a hash as the value of a label.
func labelOf(hash string) string {
	if hash = Short(hash); labelValue.MatchString(hash) {
		return hash
	}
	return "unknown"
}

// Decode returns the report in a Lease. Whatever the Lease contains, the report is bounded and has
// no control characters.
func Decode(lease *coordinationv1.Lease) (*Report, error) {
	text, found := lease.Annotations[Annotation]
	switch {
	case !found:
		return nil, errors.New("it has no annotation " + Annotation)
	case len(text) > maxReportBytes:
		return nil, fmt.Errorf(
			"its annotation %s is longer than %d bytes", Annotation, maxReportBytes)
	}
	r := &Report{}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		return nil, errors.New("its annotation " + Annotation + " is not a report")
	}
	r.bound()
	return r, nil
}

// instanceOf returns the process that wrote a Lease, or "" if the Lease does not say.
func instanceOf(lease *coordinationv1.Lease) string {
	r, err := Decode(lease)
	if err != nil {
		return ""
	}
	return r.Instance
}

// durationOf returns how long a Lease is valid after a renewal, within bounds.
func durationOf(lease *coordinationv1.Lease) time.Duration {
	duration := renewalsADuration * DefaultRenewEvery
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil {
		duration = time.Duration(*seconds) * time.Second
	}
	return min(max(duration, leastDuration), mostDuration)
}

// isStatus reports whether a Lease may be the status of a server, by its name and label.
func isStatus(lease *coordinationv1.Lease) bool {
	value := lease.Labels[Label]
	return (value == LabelValue || value == webhookValue) &&
		strings.HasPrefix(lease.Name, prefixOf(value))
}
