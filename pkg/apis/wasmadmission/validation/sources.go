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

package validation

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// maxAuthorityFiles bounds the files of one host, because every connection reads them.
const maxAuthorityFiles = 16

func validateSources(sources *wasmadmission.Sources, fldPath *field.Path) field.ErrorList {
	errs := validateNames(sources.Insecure, fldPath.Child("insecure"), validateHost)
	hosts := sets.New[string]()
	for i := range sources.Authorities {
		authority, at := &sources.Authorities[i], fldPath.Child("authorities").Index(i)
		errs = append(errs, validateAuthority(authority, at)...)
		if authority.Host != "" && hosts.Has(authority.Host) {
			errs = append(errs,
				duplicate(at.Child("host"), authority.Host,
					"is the host of an earlier entry: put all files into one"))
		}
		hosts.Insert(authority.Host)
	}
	prefixes := sets.New[string]()
	for i := range sources.Mirrors {
		mirror, at := &sources.Mirrors[i], fldPath.Child("mirrors").Index(i)
		errs = append(errs, validateMirror(mirror, at)...)
		if mirror.Prefix != "" && prefixes.Has(mirror.Prefix) {
			errs = append(errs,
				duplicate(at.Child("prefix"), mirror.Prefix,
					"is the prefix of an earlier entry: remove one of the two"))
		}
		prefixes.Insert(mirror.Prefix)
	}
	return append(errs,
		validateDuration(sources.Timeout, time.Second, 10*time.Minute, fldPath.Child("timeout"))...)
}

func validateAuthority(authority *wasmadmission.SourceAuthority,
	fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	if authority.Host == "" {
		errs = append(errs,
			field.Required(fldPath.Child("host"), "write the host that the authorities vouch for"))
	} else if err := validateHost(authority.Host, fldPath.Child("host")); err != nil {
		errs = append(errs, err)
	}
	files := fldPath.Child("files")
	switch {
	case len(authority.Files) == 0:
		errs = append(errs,
			field.Required(files,
				"write the absolute path of at least one file with certificates in PEM"))
	case len(authority.Files) > maxAuthorityFiles:
		errs = append(errs, field.TooMany(files, len(authority.Files), maxAuthorityFiles))
	}
	return append(errs,
		validateNames(authority.Files, files, func(file string, at *field.Path) *field.Error {
			for _, err := range validateFile(file, at) {
				return err
			}
			return nil
		})...)
}

// validateMirror checks that a mirror uses the same scheme as the URI. A mirror must not lead from
// TLS to plain text, or from a registry to a web server.
func validateMirror(mirror *wasmadmission.Mirror, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, end := range []struct {
		uri     string
		fldPath *field.Path
	}{
		{mirror.Prefix, fldPath.Child("prefix")},
		{mirror.Replacement, fldPath.Child("replacement")},
	} {
		if detail := prefixProblem(end.uri); detail != "" {
			errs = append(errs, field.Invalid(end.fldPath, end.uri, detail))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	scheme, _, _ := strings.Cut(mirror.Prefix, "://")
	switch {
	case !strings.HasPrefix(mirror.Replacement, scheme+"://"):
		errs = append(errs, field.Invalid(fldPath.Child("replacement"), mirror.Replacement,
			"has another scheme than the prefix: a mirror of "+scheme+":// begins with "+scheme+
				"://"))
	case strings.HasSuffix(mirror.Prefix, "/") != strings.HasSuffix(mirror.Replacement, "/"):
		errs = append(errs, field.Invalid(fldPath.Child("replacement"), mirror.Replacement,
			"ends otherwise than the prefix: end both with '/' or none"))
	}
	return errs
}

func prefixProblem(prefix string) string {
	const remedy = "write registry:// or https:// and a host, such as registry://ghcr.io/kubewarden/"
	scheme, rest, found := strings.Cut(prefix, "://")
	host, path, _ := strings.Cut(rest, "/")
	switch {
	case !found || scheme != "registry" && scheme != "https":
		return "is not a URI prefix that can have a mirror: " + remedy
	case hostProblem(host) != "":
		return hostProblem(host)
	case strings.ContainsAny(path, "?#@") || hasControlCharacter(path) ||
		strings.Contains("/"+path, "//"):
		return "contains more than a host and a path: " + remedy
	case len(rest) > moduleuri.MaxBytes:
		return fmt.Sprintf("is longer than %d bytes: %s", moduleuri.MaxBytes, remedy)
	}
	return ""
}

func validateHost(host string, fldPath *field.Path) *field.Error {
	if detail := hostProblem(host); detail != "" {
		return field.Invalid(fldPath, host, detail)
	}
	return nil
}

// hostProblem returns what is wrong with a host or host:port, or "". An IPv6 address is in
// brackets, as in a URI.
func hostProblem(host string) string {
	const remedy = "write host or host:port in lower case, such as registry.example.com:5000"
	name, port := host, ""
	// A bracketed address itself contains colons.
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 ||
			port[0] == '0' || port[0] == '+' {
			return fmt.Sprintf("has the port %q, which is not a number from 1 to 65535: %s", port,
				remedy)
		}
	}
	if inside, ok := strings.CutPrefix(name, "["); ok {
		inside, closed := strings.CutSuffix(inside, "]")
		if address, err := netip.ParseAddr(inside); closed && err == nil && address.Is6() &&
			address.Zone() == "" {
			return ""
		}
	} else if len(validation.IsDNS1123Subdomain(name)) == 0 {
		return ""
	}
	return fmt.Sprintf("does not name a host, %q is not a DNS name or an address: %s", name, remedy)
}
