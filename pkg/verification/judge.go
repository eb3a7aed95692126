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

package verification

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
)

// maxChecks bounds the number of checks for one artifact. Each check may verify several signatures.
const maxChecks = 1000

// Demand is a config with its name in errors, such as "verification.config".
type Demand struct {
	Name   string
	Config *Config
}

// Digest returns a digest that identifies the demands. It ignores their names.
func Digest(demands ...Demand) string {
	sum := sha256.New()
	encoder := json.NewEncoder(sum)
	for _, d := range demands {
		_ = encoder.Encode(d.Config) // strings, numbers and maps of strings cannot fail
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Keyless reports whether a config demands identities, for which a checker needs a trust root.
func (c *Config) Keyless() bool {
	signatures := c.AllOf
	if c.AnyOf != nil {
		signatures = append(signatures[:len(signatures):len(signatures)], c.AnyOf.Signatures...)
	}
	for n := range signatures {
		if signatures[n].Kind != KindPublicKey {
			return true
		}
	}
	return false
}

// Judge checks whether the candidates meet all demands. It takes candidates one by one, and stops
// once all demands are met. An error from the sequence is a place that could not be read, or, as a
// [*SkippedError], something that is not a candidate. Neither prevents other candidates from
// meeting the demands. If the demands are not met, the error is an [*UnmetError], or the context's.
func Judge(ctx context.Context, checker Checker, artifact Artifact,
	candidates iter.Seq2[*Candidate, error], demands ...Demand) error {
	_, err := MetBy(ctx, checker, artifact, candidates, demands...)
	return err
}

// MetBy is like [Judge], and returns the candidates that meet the demands, in their order.
func MetBy(ctx context.Context, checker Checker, artifact Artifact,
	candidates iter.Seq2[*Candidate, error], demands ...Demand) ([]*Candidate, error) {
	j := &judge{checker: checker, artifact: artifact}
	for _, d := range demands {
		j.open = append(j.open, newRequirements(d)...)
	}
	for candidate, err := range candidates {
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			j.note(err)
		default:
			if err := j.take(ctx, candidate); err != nil {
				return nil, err
			}
		}
		if j.isMet() {
			return j.metBy, nil
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, j.unmet()
}

// requirement is a demand that must be met: an entry of allOf, or a whole anyOf.
type requirement struct {
	name    string
	entries []*entry
	least   int
}

// entry is a demanded signature.
type entry struct {
	*Signature
	name string
	met  bool
}

func newRequirements(d Demand) (all []*requirement) {
	for n := range d.Config.AllOf {
		name := fmt.Sprintf("allOf[%d] of %s", n, d.Name)
		all = append(all, &requirement{
			name:    name,
			least:   1,
			entries: []*entry{{Signature: &d.Config.AllOf[n], name: name}},
		})
	}
	if choice := d.Config.AnyOf; choice != nil {
		r := &requirement{name: "anyOf of " + d.Name, least: choice.MinimumMatches}
		for n := range choice.Signatures {
			r.entries = append(r.entries,
				&entry{
					Signature: &choice.Signatures[n],
					name:      fmt.Sprintf("anyOf.signatures[%d] of %s", n, d.Name),
				})
		}
		all = append(all, r)
	}
	return all
}

// matches returns the number of entries that are met.
func (r *requirement) matches() (count int) {
	for _, e := range r.entries {
		if e.met {
			count++
		}
	}
	return count
}

// judge checks the candidates for one artifact.
type judge struct {
	checker  Checker
	artifact Artifact
	open     []*requirement
	checks   int
	metBy    []*Candidate
	report
}

func (j *judge) isMet() bool {
	for _, r := range j.open {
		if r.matches() < r.least {
			return false
		}
	}
	return true
}

// take checks which of the open entries a candidate meets.
func (j *judge) take(ctx context.Context, candidate *Candidate) error {
	a := &asked{judge: j, candidate: candidate, answers: map[string]*answer{}}
	meets := false
	for _, r := range j.open {
		for _, e := range r.entries {
			if e.met || r.matches() >= r.least {
				continue
			}
			signed, err := a.who(ctx, e.Signature)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.Is(err, errTooManyChecks):
				return fmt.Errorf(
					"%w: remove signatures that are not needed, or entries from the verification config",
					err)
			case err != nil:
				continue
			}
			if err := e.accepts(signed); err != nil {
				a.differs = append(a.differs, fmt.Sprintf("%s %v", e.name, err))
				continue
			}
			e.met, meets = true, true
		}
	}
	if meets {
		j.metBy = append(j.metBy, candidate)
	}
	j.found(candidate.Place, a.summary())
	return nil
}

var errTooManyChecks = fmt.Errorf("the signatures that were found would take more than %d checks",
	maxChecks)

// asked caches a checker's answers about one candidate, so that each question is asked only once.
type asked struct {
	*judge
	candidate *Candidate
	answers   map[string]*answer // by the key's fingerprint, or "" for keyless
	differs   []string
}

type answer struct {
	signed *Signed
	err    error
}

// who returns the findings of the check that a demanded signature needs.
func (a *asked) who(ctx context.Context, s *Signature) (*Signed, error) {
	if known := a.answers[s.fingerprint]; known != nil {
		return known.signed, known.err
	}
	if a.checks++; a.checks > maxChecks {
		return nil, errTooManyChecks
	}
	got := &answer{}
	if s.Kind == KindPublicKey {
		got.signed, got.err = a.checker.Key(ctx, a.candidate, a.artifact, []byte(s.Key))
	} else {
		got.signed, got.err = a.checker.Keyless(ctx, a.candidate, a.artifact)
		if got.err == nil &&
			(got.signed == nil || got.signed.Identity == nil ||
				len(got.signed.Identity.Subjects) == 0) {
			got.err = errors.New("the certificate names no subject")
		}
	}
	if got.err == nil && got.signed == nil {
		got.err = errors.New("the checker does not say what was signed")
	}
	a.answers[s.fingerprint] = got
	return got.signed, got.err
}

// accepts returns nil if signer and signed annotations meet the demand.
func (s *Signature) accepts(signed *Signed) error {
	if s.Kind != KindPublicKey {
		if err := s.acceptsIdentity(signed.Identity); err != nil {
			return err
		}
	}
	for name, want := range s.Annotations {
		switch got, ok := signed.Annotations[name]; {
		case !ok:
			return fmt.Errorf("wants annotation %q, which the signature does not cover", name)
		case got != want:
			return fmt.Errorf("wants annotation %q to be %.100q, not %.100q", name, want, got)
		}
	}
	return nil
}

// acceptsIdentity compares exactly. If there are several subjects, the first one counts, as in
// Kubewarden. Fulcio's certificates have one.
func (s *Signature) acceptsIdentity(identity *CertificateIdentity) error {
	subject, issuer := identity.Subjects[0], s.Issuer
	if s.Kind == KindGitHubAction {
		issuer = gitHubIssuer
	}
	switch {
	case identity.Issuer != issuer:
		return fmt.Errorf("wants issuer %.200q", issuer)
	case s.Kind == KindGitHubAction:
		return s.acceptsWorkflow(subject, identity.SourceRepository)
	case s.Subject.Equal != "" && subject != s.Subject.Equal:
		return fmt.Errorf("wants subject %.200q", s.Subject.Equal)
	case s.Subject.URLPrefix != "" && !hasPrefix(subject, s.Subject.URLPrefix):
		return fmt.Errorf("wants a subject that begins with %.200q", s.Subject.URLPrefix)
	}
	return nil
}

// hasPrefix reports whether a subject is below a prefix.
func hasPrefix(subject, prefix string) bool {
	rest, ok := strings.CutPrefix(subject, prefix)
	return ok && !leadsUp(rest)
}

// leadsUp reports whether a path has a segment that a server may interpret as the parent directory.
func leadsUp(path string) bool {
	for part := range strings.FieldsFuncSeq(path, func(r rune) bool {
		return r == '/' || r == '\\'
	}) {
		if unescaped, err := url.PathUnescape(part); err != nil || unescaped == ".." {
			return true
		}
	}
	return false
}

// acceptsWorkflow checks the repository of a workflow in both places where a certificate names it.
func (s *Signature) acceptsWorkflow(subject, source string) error {
	wants := fmt.Errorf("wants a workflow of %s/* on github.com", s.Owner)
	if s.Repo != "" {
		wants = fmt.Errorf("wants a workflow of %s/%s on github.com", s.Owner, s.Repo)
	}
	for _, uri := range []string{subject, source} {
		rest, ok := strings.CutPrefix(uri, "https://github.com/")
		owner, rest, _ := strings.Cut(rest, "/")
		repo, rest, _ := strings.Cut(rest, "/")
		if !ok || owner != s.Owner || !gitHubName.MatchString(repo) || s.Repo != "" &&
			repo != s.Repo || leadsUp(repo+"/"+rest) {
			return wants
		}
	}
	return nil
}
