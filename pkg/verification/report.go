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
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	// maxReported is the number of items of a kind that an error names.
	maxReported = 5
	// maxReportedBytes is the length at which an item's text is cut, in bytes.
	maxReportedBytes = 400
)

// SkippedError says that something may have been meant as a signature, but cannot be a candidate.
type SkippedError struct {
	// Place names it for people, like the place of a [Candidate].
	Place string
	// Err is the reason. It is never nil.
	Err error
}

// Error implements the error interface.
func (s *SkippedError) Error() string { return s.Place + ": " + s.Err.Error() }

// Unwrap returns the underlying error.
func (s *SkippedError) Unwrap() error { return s.Err }

// UnmetError says which demands are not met, and which signatures were found. Its text is one line
// of bounded length.
type UnmetError struct {
	// Unmet lists the unmet demands with their details.
	Unmet []string
	// Found lists the signatures with the findings about each, up to a limit.
	Found []string
	// Count is the total number of signatures found.
	Count int
	// Unread joins the errors of places that could not be read. It is nil if everything was read.
	Unread error
}

// Error implements the error interface.
func (u *UnmetError) Error() string {
	var b strings.Builder
	b.WriteString("no signature meets " + list(u.Unmet, len(u.Unmet)))
	switch u.Count {
	case 0:
		b.WriteString("; none was found at all")
	default:
		fmt.Fprintf(&b, "; found %d: %s", u.Count, list(u.Found, u.Count))
	}
	if u.Unread != nil {
		b.WriteString("; not everything could be read: " + cut(u.Unread.Error()))
	}
	return b.String()
}

// Unwrap returns the errors of places that could not be read.
func (u *UnmetError) Unwrap() error { return u.Unread }

// list joins the first texts of count into one line, and says how many more there are.
func list(texts []string, count int) string {
	shown := texts[:min(len(texts), maxReported)]
	line := strings.Join(shown, "; ")
	if count > len(shown) {
		line += fmt.Sprintf("; and %d more", count-len(shown))
	}
	return line
}

// cut makes a text one line of bounded length, because it may come from a candidate's author.
func cut(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }),
		" ")
	if len(text) > maxReportedBytes {
		text = strings.ToValidUTF8(text[:maxReportedBytes], "") + "…"
	}
	return text
}

// report collects what was found.
type report struct {
	lines  []string
	count  int
	unread []error
}

// note records an error that came instead of a candidate.
func (r *report) note(err error) {
	if s := (*SkippedError)(nil); errors.As(err, &s) {
		r.found(s.Place, s.Err.Error())
		return
	}
	if len(r.unread) < maxReported {
		r.unread = append(r.unread, err)
	}
}

func (r *report) found(place, text string) {
	r.count++
	if len(r.lines) < maxReported {
		r.lines = append(r.lines, cut(place+": "+text))
	}
}

// unmet builds the error.
func (j *judge) unmet() error {
	u := &UnmetError{Found: j.lines, Count: j.count, Unread: errors.Join(j.unread...)}
	for _, r := range j.open {
		matches := r.matches()
		if matches >= r.least {
			continue
		}
		var wanted []string
		for _, e := range r.entries {
			if !e.met {
				wanted = append(wanted, e.wants())
			}
		}
		text := fmt.Sprintf("%s: %s", r.name, strings.Join(wanted, ", "))
		if len(r.entries) > 1 {
			text = fmt.Sprintf("%s (%d of %d needed): %s", r.name, matches, r.least,
				strings.Join(wanted, ", "))
		}
		u.Unmet = append(u.Unmet, cut(text))
	}
	return u
}

// wants describes the demands on a signature.
func (s *Signature) wants() string {
	var b strings.Builder
	switch s.Kind {
	case KindPublicKey:
		b.WriteString("key sha256:" + s.fingerprint[:min(len(s.fingerprint), 12)])
		if s.Owner != "" {
			fmt.Fprintf(&b, " of %.60q", s.Owner)
		}
	case KindGitHubAction:
		b.WriteString("githubAction " + s.Owner)
		if s.Repo != "" {
			b.WriteString("/" + s.Repo)
		}
	case KindGenericIssuer:
		fmt.Fprintf(&b, "issuer %.100q, subject %.100q", s.Issuer, s.Subject.Equal)
		if s.Subject.URLPrefix != "" {
			b.Reset()
			fmt.Fprintf(&b, "issuer %.100q, subject %.100q…", s.Issuer, s.Subject.URLPrefix)
		}
	}
	switch names := slices.Sorted(maps.Keys(s.Annotations)); {
	case len(names) == 1:
		fmt.Fprintf(&b, " with annotation %.100q", names[0])
	case len(names) > 1:
		fmt.Fprintf(&b, " with %d annotations, %.100q and others", len(names), names[0])
	}
	return b.String()
}

// summary describes the findings about a candidate.
func (a *asked) summary() string {
	var by, refused []string
	for fingerprint, answer := range a.answers {
		switch {
		case answer.err != nil && fingerprint == "":
			refused = append(refused, "no signature by an identity: "+answer.err.Error())
		case answer.err != nil:
			refused = append(refused,
				fmt.Sprintf("not by key sha256:%.12s: %v", fingerprint, answer.err))
		case fingerprint == "":
			by = append(by,
				fmt.Sprintf("by %.200q of %.100q", answer.signed.Identity.Subjects[0],
					answer.signed.Identity.Issuer))
		default:
			by = append(by, fmt.Sprintf("by key sha256:%.12s", fingerprint))
		}
	}
	slices.Sort(by)
	slices.Sort(refused)
	if len(by) > 0 { // who signed says more than who did not
		refused = a.differs
	}
	return strings.Join(append(by, refused...), ", ")
}
