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

// Package images answers policies' questions about images in registries: the digest of a tag, the
// contents of a manifest, and the signers of an image.
//
// Clients that create Pods choose the names of images. If the apiserver asked any registry that
// they name, it would be an open proxy. It therefore asks only listed registries. It connects only
// to addresses on the internet, unless a registry is listed with its exact name, and does not
// follow registries to hosts that are not listed. Answers are cached. Lookups are bounded in
// number, time and size.
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
	// Sources provide the authorities, credentials and mirrors of registries. Mirrors count as
	// listed hosts, and may have any address. Proxies are not used.
	Sources module.Sources
	// Registries lists the registries that may be asked: host, host:port, "*.example.com" for the
	// names below a domain, or "*" for every name. A registry that is listed with its port, and not
	// as a pattern, may have any address. Others must have an address on the internet. The default
	// is none.
	Registries []string
	// Anywhere allows any registry at any address, uses the proxies from the environment, and
	// follows registries to any host. It overrides Registries, Redirects and DeniedRanges. It is
	// for people who run a policy themselves. Programs must not set it if others choose the images.
	Anywhere bool
	// Redirects lists further hosts, in the same form, to which registries may redirect for content
	// and tokens. The default is none.
	Redirects []string
	// DeniedRanges lists CIDR ranges of further addresses that only a host listed with its port may
	// have. The default is none.
	DeniedRanges []string
	// Checker verifies signatures. If it is nil, every verification fails.
	Checker verification.Checker

	// CacheEntries is the maximum number of answers in the cache. The default for 0 is 4096.
	CacheEntries int
	// CacheBytes is the maximum total size of these answers. The default for 0 is 16 MiB.
	CacheBytes int64
	// CacheTTL is how long an answer is valid. The default for 0 is 1 minute.
	CacheTTL time.Duration
	// FailureTTL is how long a failure is cached before the registry is asked again. The default
	// for 0 is 5 s.
	FailureTTL time.Duration
	// StaleTTL is how much longer than CacheTTL the last good answer is used if the registry does
	// not answer. With 0, it is not used at all.
	StaleTTL time.Duration
	// LookTimeout bounds one lookup. A lookup continues after the evaluation that started it has
	// ended. The default for 0 is 10 s.
	LookTimeout time.Duration
	// PolicyLooks is the maximum number of concurrent lookups of one policy. Eight times as many
	// may wait. The default for 0 is 16.
	PolicyLooks int
	// RegistryLooks is the maximum number of concurrent lookups at one registry. Eight times as
	// many may wait for each policy. The default for 0 is 8.
	RegistryLooks int

	// Resolver resolves hosts. Nil is the resolver of the process.
	Resolver *net.Resolver
	// Clock measures the age of answers. Nil is the real clock.
	Clock clock.Clock
	// Recorder records metrics. Nil discards them.
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

// New returns an Images with the options. It sends no request yet.
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
		named: named, checker: o.Checker, registries: registries,
		recorder: cmp.Or[Recorder](o.Recorder, discard{}),
		answers: newAnswers(bounds{
			entries: cmp.Or(o.CacheEntries, 4096), bytes: cmp.Or(o.CacheBytes, 16<<20),
			ttl: cmp.Or(o.CacheTTL, time.Minute), failureTTL: cmp.Or(o.FailureTTL, 5*time.Second),
			staleTTL: o.StaleTTL,
			timeout:  cmp.Or(o.LookTimeout, 10*time.Second), policy: cmp.Or(o.PolicyLooks, 16),
			registry: cmp.Or(o.RegistryLooks, 8),
			clock:    cmp.Or[clock.Clock](o.Clock, clock.RealClock{}),
		}),
	}, nil
}

// hosts returns the registries that may be asked, and the options to reach them and the hosts to
// which they redirect.
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
		d.named[moduleuri.WithPort("https", mirror)], d.named[moduleuri.WithPort("http", mirror)] =
			true, true
	}
	return named, fenced(o.Sources, d.dial, followed), nil
}

// fenced limits requests to the given hosts, and counts them.
func fenced(sources module.Sources, dial module.Dial, to hostPatterns) module.RegistriesOptions {
	return module.RegistriesOptions{
		Sources: sources, Dial: dial, Wrap: func(next http.RoundTripper) http.RoundTripper {
			return &fence{named: to, next: next}
		},
	}
}

// Ask implements [oci.Images].
func (i *Images) Ask(ctx context.Context, caller *capabilities.Caller, operation, image string,
	request []byte) ([]byte, error) {
	answer, how, err := i.ask(ctx, caller.Policy, operation, image, request)
	i.recorder.CountLook(operation, string(how))
	spans.Tell(ctx, spans.Text(spans.LookResult, string(how)))
	return answer, err
}

func (i *Images) ask(ctx context.Context, policy, operation, image string,
	request []byte) ([]byte, result, error) {
	host, uri, err := expand(image)
	if err != nil {
		return nil, resultFailed, asShortage(err)
	}
	if !i.named.match("https", host) {
		return nil, resultDenied, asShortage(
			forbid(
				"image %.200q is in registry %s, which policies may not ask about: add %q, or a pattern such as \"*.example.com\", "+
					"to capabilities.oci.registries of the configuration", image, host, host))
	}
	q := question{policy: policy, registry: host, key: i.key(operation, request)}
	if known := i.answers.known(q.key); known != nil {
		answer, how, err := known.result(resultCached)
		return answer, how, asShortage(err)
	}
	l := &look{registries: i.registries, operation: operation, uri: uri}
	if operation == oci.VerifyV1 || operation == oci.VerifyV2 {
		if l.judge, err = parseVerify(operation, request, i.checker); err != nil {
			return nil, resultFailed, err
		}
	}
	q.ask = l.run
	answer, how, err := i.answers.get(ctx, q)
	return answer, how, asShortage(err)
}

// asShortage marks an error that is not the policy's fault. Clients name images, and registries may
// fail. If such errors made a policy look broken, a client that creates Pods could open the
// policy's breaker, and other images would be decided without the policy.
func asShortage(err error) error {
	if err == nil {
		return nil
	}
	return &abi.ShortageError{Err: err}
}

// key identifies a question. It includes the policy's demands and the trust root.
func (i *Images) key(operation string, request []byte) string {
	sum := sha256.Sum256(request)
	key := operation + "\x00" + string(sum[:])
	if i.checker != nil && (operation == oci.VerifyV1 || operation == oci.VerifyV2) {
		key += i.checker.TrustRoot()
	}
	return key
}
