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

// Package images answers what policies ask of images in registries: what a tag stands for, what
// is in a manifest, and who signed.
//
// The names of images come from whoever creates Pods, so the apiserver would be a proxy for
// everybody if it asked whatever it is told to. It asks registries that are named, by addresses
// on the internet unless a registry is named exactly, and follows nobody to a host that is not
// named. Answers are kept for a while, and looks at registries are bounded in number, time and
// what they read.
package images

import (
	"cmp"
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"time"

	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Options configure [Images].
type Options struct {
	// Sources say which authorities, credentials and mirrors registries have. Mirrors count as
	// named, and may have any address. Proxies are not asked.
	Sources module.Sources
	// Registries are those that may be asked: host, host:port, "*.example.com" for the names
	// below a domain, or "*" for every name. One that is named with its port, and is no pattern,
	// may have any address; others must have one on the internet. None by default.
	Registries []string
	// Anywhere has any registry be asked, at any address and by the proxies of the environment,
	// and be followed to any host; Registries, Redirects and DeniedRanges do not count then. It is for people
	// who run a policy themselves. What others choose the images for must not set it.
	Anywhere bool
	// Redirects are further hosts, in the same form, that registries may lead to for what they
	// store and for tokens. None by default.
	Redirects []string
	// DeniedRanges are CIDRs of further addresses that only a host that is named with its port
	// may have. None by default.
	DeniedRanges []string
	// Checker checks signatures; nil has every question for them fail.
	Checker verification.Checker

	// CacheEntries is how many answers are kept. 0 is 4096.
	CacheEntries int
	// CacheBytes is how large they may be together. 0 is 16 MiB.
	CacheBytes int64
	// CacheTTL is how long an answer is given again. 0 is 1 minute.
	CacheTTL time.Duration
	// FailureTTL is how long a failure is told again before the registry is asked anew. 0 is 5 s.
	FailureTTL time.Duration
	// StaleTTL is how much longer than CacheTTL the last good answer is given if the registry
	// does not answer. 0 is not at all.
	StaleTTL time.Duration
	// LookTimeout bounds one look. It goes on when the evaluation that needs it has ended. 0 is
	// 10 s.
	LookTimeout time.Duration
	// PolicyLooks is how many looks one policy has under way at the same time; eight times as
	// many may wait. 0 is 16.
	PolicyLooks int
	// RegistryLooks is how many looks at one registry are under way at the same time; of each
	// policy eight times as many may wait. 0 is 8.
	RegistryLooks int

	// Resolver looks up hosts; nil is that of the process.
	Resolver *net.Resolver
	// Clock is what the age of answers goes by; nil is the real one.
	Clock clock.Clock
	// Recorder takes notes; nil discards them.
	Recorder Recorder
}

// Images implements [oci.Images]. It is safe for concurrent use.
type Images struct {
	named      hostPatterns
	checker    verification.Checker
	registries *module.Registries
	answers    *answers
	recorder   Recorder
}

var _ oci.Images = &Images{}

// New returns what asks registries. It asks nothing yet.
func New(o Options) (*Images, error) {
	named, asked, err := o.hosts()
	if err != nil {
		return nil, err
	}
	registries, err := module.NewRegistries(asked)
	if err != nil {
		return nil, err
	}
	return &Images{
		named: named, checker: o.Checker, registries: registries, recorder: cmp.Or[Recorder](o.Recorder, discard{}),
		answers: newAnswers(bounds{
			entries: cmp.Or(o.CacheEntries, 4096), bytes: cmp.Or(o.CacheBytes, 16<<20),
			ttl: cmp.Or(o.CacheTTL, time.Minute), failureTTL: cmp.Or(o.FailureTTL, 5*time.Second), staleTTL: o.StaleTTL,
			timeout: cmp.Or(o.LookTimeout, 10*time.Second), policy: cmp.Or(o.PolicyLooks, 16), registry: cmp.Or(o.RegistryLooks, 8),
			clock: cmp.Or[clock.Clock](o.Clock, clock.RealClock{}),
		}),
	}, nil
}

// hosts returns the registries that may be asked, and how they and what they lead to are.
func (o *Options) hosts() (hostPatterns, module.RegistriesOptions, error) {
	none := module.RegistriesOptions{}
	if o.Anywhere {
		return anyHost, fenced(o.Sources, nil, anyHost), nil
	}
	named, err := parseHosts("capabilities.oci.registries", o.Registries)
	if err != nil {
		return nil, none, err
	}
	redirects, err := parseHosts("capabilities.oci.redirects", o.Redirects)
	if err != nil {
		return nil, none, err
	}
	mirrors, err := parseHosts("sources.mirrors", o.Sources.MirrorHosts())
	if err != nil {
		return nil, none, err
	}
	followed := append(append(redirects, mirrors...), named...)
	if named.match("https", hub) {
		followed = append(followed, hostPattern{name: hubServer})
	}
	denied, err := parseRanges(o.DeniedRanges)
	if err != nil {
		return nil, none, err
	}
	d := &dialer{resolver: o.Resolver, named: map[string]bool{}, denied: denied}
	for _, address := range followed.addresses() {
		d.named[address] = true
	}
	for _, mirror := range o.Sources.MirrorHosts() {
		d.named[moduleuri.WithPort("https", mirror)], d.named[moduleuri.WithPort("http", mirror)] = true, true
	}
	return named, fenced(o.Sources, d.dial, followed), nil
}

// fenced has requests go to some hosts only, and be counted.
func fenced(sources module.Sources, dial module.Dial, to hostPatterns) module.RegistriesOptions {
	return module.RegistriesOptions{
		Sources: sources, Dial: dial, Wrap: func(next http.RoundTripper) http.RoundTripper { return &fence{named: to, next: next} },
	}
}

// Ask implements [oci.Images].
func (i *Images) Ask(ctx context.Context, caller *capabilities.Caller, operation, image string, request []byte) ([]byte, error) {
	answer, how, err := i.ask(ctx, caller.Policy, operation, image, request)
	i.recorder.CountLook(operation, string(how))
	spans.Tell(ctx, spans.Text(spans.LookResult, string(how)))
	return answer, err
}

func (i *Images) ask(ctx context.Context, policy, operation, image string, request []byte) ([]byte, result, error) {
	host, uri, err := expand(image)
	if err != nil {
		return nil, resultFailed, unlucky(err)
	}
	if !i.named.match("https", host) {
		return nil, resultDenied, unlucky(forbid("image %.200q is in registry %s, which policies may not ask about: add %q, or a pattern such as \"*.example.com\", "+
			"to capabilities.oci.registries of the configuration", image, host, host))
	}
	q := question{policy: policy, registry: host, key: i.key(operation, request)}
	if known := i.answers.known(q.key); known != nil {
		answer, how, err := known.result(resultCached)
		return answer, how, unlucky(err)
	}
	l := &look{registries: i.registries, operation: operation, uri: uri}
	if operation == oci.VerifyV1 || operation == oci.VerifyV2 {
		if l.judge, err = parseVerify(operation, request, i.checker); err != nil {
			return nil, resultFailed, err
		}
	}
	q.ask = l.run
	answer, how, err := i.answers.get(ctx, q)
	return answer, how, unlucky(err)
}

// unlucky makes an error one that is no policy's fault. Clients name images, and registries
// answer or do not: a policy that fails over that must not look broken, or whoever creates
// Pods could open its breaker, and have other images decided without it.
func unlucky(err error) error {
	if err == nil {
		return nil
	}
	return &abi.ShortageError{Err: err}
}

// key identifies a question, with all that the policy demands and the trust root that it is
// answered by.
func (i *Images) key(operation string, request []byte) string {
	sum := sha256.Sum256(request)
	key := operation + "\x00" + string(sum[:])
	if i.checker != nil && (operation == oci.VerifyV1 || operation == oci.VerifyV2) {
		key += i.checker.TrustRoot()
	}
	return key
}
