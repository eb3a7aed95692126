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

package module

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Cause says why a module could not be fetched. The set is closed, so metrics use it as a label.
type Cause string

// The causes.
const (
	CauseInvalid      Cause = "invalid"      // the URI cannot be fetched
	CauseNotFound     Cause = "not_found"    // the source has no such module
	CauseUnauthorized Cause = "unauthorized" // the source requires credentials, or other ones
	CauseUnreachable  Cause = "unreachable"  // the source does not answer, or is unavailable
	CauseUntrusted    Cause = "untrusted"    // the source has no trusted certificate
	// the content has another digest; for modules the error wraps a DigestError
	CauseDigest     Cause = "digest_mismatch"
	CauseTooLarge   Cause = "too_large"  // the error wraps an engine.LimitError
	CauseMediaType  Cause = "media_type" // the content is not a Kubewarden policy
	CauseUnverified Cause = "unverified" // the verifier refused it
	CauseAnswer     Cause = "bad_answer" // the source violates its protocol
	CauseOther      Cause = "other"
)

// remedies say what to do about a cause.
var remedies = map[Cause]string{
	CauseNotFound:     "check the host, the name, and the tag or digest",
	CauseUnauthorized: "check that the file in sources.dockerConfig has valid credentials for that host (docker login writes them)",
	CauseUnreachable:  "check the host, its port, the network, and any proxy on the way, or name a mirror in sources.mirrors",
	CauseUntrusted:    "name its certificate authority in sources.authorities, or, if nothing depends on it, the host in sources.insecure",
	CauseDigest:       "do not trust the source until you know why",
	CauseTooLarge:     "raise limits.moduleSize if this is the right module",
	CauseMediaType:    "push the module with kwctl push, and name its manifest",
	CauseUnverified:   "sign it, or configure whose signatures are accepted",
}

// Error says why a module could not be fetched or pushed.
type Error struct {
	// URI is the module's address, without credentials.
	URI string
	// Cause is the reason.
	Cause Cause
	// Err is the underlying error. It is never nil.
	Err error

	// pushing is set if the module was being pushed.
	pushing bool
}

// Error implements the error interface. The text includes a remedy.
func (e *Error) Error() string {
	var b strings.Builder
	switch {
	case e.URI != "" && e.pushing:
		b.WriteString("push " + e.URI + ": ")
	case e.URI != "":
		b.WriteString("fetch " + e.URI + ": ")
	}
	b.WriteString(e.Err.Error())
	if remedy := remedies[e.Cause]; remedy != "" {
		b.WriteString(": " + remedy)
	}
	return b.String()
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// CauseOf returns the cause of an [*Error] anywhere in err's chain, or [CauseOther].
func CauseOf(err error) Cause {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Cause
	}
	return CauseOther
}

// DigestError says that content does not have the expected digest.
type DigestError struct {
	// What is what was compared: "module" or "manifest".
	What string
	// Want is the expected digest, Got the actual one.
	Want, Got string
}

// Error implements the error interface.
func (e *DigestError) Error() string {
	return fmt.Sprintf("%s has digest %s, not %s", e.What, e.Got, e.Want)
}

func fail(cause Cause, format string, arguments ...any) *Error {
	return &Error{Cause: cause, Err: fmt.Errorf(format, arguments...)}
}

// tooLarge returns the error for something that exceeds its size limit.
func tooLarge(what string, size, most int64) *Error {
	return &Error{
		Cause: CauseTooLarge,
		Err:   &engine.LimitError{Limit: "bytes of " + what, Value: size, Max: most},
	}
}

// unanswered reports whether the error says nothing about the module, because the source did not
// answer.
func unanswered(err error) bool {
	cause := CauseOf(err)
	return cause == CauseUnreachable || cause == CauseUntrusted
}

// classify returns an [*Error] for an error of the HTTP and registry clients.
func classify(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	// The caller knows the request already. The URL may come from a redirect and contain a
	// signature.
	if u := (*url.Error)(nil); errors.As(err, &u) {
		if e := (*Error)(nil); errors.As(u.Err, &e) {
			return e
		}
		err = u.Err
	}
	if r := (*errcode.ErrorResponse)(nil); errors.As(err, &r) {
		return statusError(r.StatusCode, r.Errors)
	}
	switch {
	case errors.Is(err, errdef.ErrNotFound):
		return fail(CauseNotFound, "not found")
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return fail(CauseUnauthorized, "credentials are required, and there are none")
	case untrusted(err):
		return &Error{Cause: CauseUntrusted, Err: err}
	case unreachable(err):
		return &Error{Cause: CauseUnreachable, Err: err}
	}
	return &Error{Cause: CauseOther, Err: err}
}

// statusError turns an HTTP status into an error. It quotes the server's message, bounded, for
// people to read.
func statusError(status int, says errcode.Errors) *Error {
	err := fmt.Errorf("answered %d %s", status, http.StatusText(status))
	if len(says) > 0 {
		err = fmt.Errorf("%w: %.200q", err, says.Error())
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &Error{Cause: CauseUnauthorized, Err: err}
	case status == http.StatusNotFound || status == http.StatusGone:
		return &Error{Cause: CauseNotFound, Err: err}
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests ||
		status >= 500:
		return &Error{Cause: CauseUnreachable, Err: err}
	}
	return &Error{Cause: CauseAnswer, Err: err}
}

func untrusted(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		record       tls.RecordHeaderError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &hostname) ||
		errors.As(err, &invalid) || errors.As(err, &record) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

func unreachable(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, context.DeadlineExceeded)
}
