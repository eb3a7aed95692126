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
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

const fileScheme = "file://"

// validateModule checks the URI of a module, and that the configuration allows fetching it.
func validateModule(uri string, config *wasmadmission.WasmAdmissionConfiguration,
	fldPath *field.Path) field.ErrorList {
	if uri == "" {
		return field.ErrorList{field.Required(fldPath,
			"a policy needs a module: write its URI, such as "+
				"file:///etc/kubernetes/wasm-admission/policy.wasm or registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3")}
	}
	if scheme, rest, _ := strings.Cut(uri, "://"); len(rest) > moduleuri.MaxBytes {
		return field.ErrorList{
			field.TooLong(fldPath, uri, len(scheme)+len("://")+moduleuri.MaxBytes),
		}
	}
	if detail := moduleProblem(uri, config); detail != "" {
		return field.ErrorList{field.Invalid(fldPath, redact(uri), detail)}
	}
	return nil
}

// redact removes the parts of a URI that may be secret, for messages: a user with a password, and
// the query of a server's URI, which may contain a signature.
func redact(uri string) string {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found || scheme == "file" {
		return uri
	}
	authority, path, hasPath := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = "…" + authority[i:]
	}
	if hasPath {
		authority += "/"
	}
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i] + "?…"
	}
	return scheme + "://" + authority + path
}

// moduleProblem returns what is wrong with the URI of a module, or "".
func moduleProblem(uri string, config *wasmadmission.WasmAdmissionConfiguration) string {
	const remedy = "write file:// and an absolute path, registry:// and a reference, https://, or oci-layout://"
	scheme, rest, found := strings.Cut(uri, "://")
	switch {
	case !found && strings.HasPrefix(uri, "file:"):
		return `lacks "//" after file: write file:// and the absolute path of the module`
	case !found:
		return "has no scheme: " + remedy
	case scheme == "file":
		return fileProblem(rest)
	case scheme == "registry":
		return registryProblem(rest, config)
	case scheme == "https" || scheme == "http":
		return serverProblem(uri, &config.Sources)
	case scheme == moduleuri.LayoutScheme:
		return layoutProblem(rest)
	}
	return fmt.Sprintf("has the unknown scheme %q: %s", scheme, remedy)
}

// registryProblem checks the part after registry://: host/repository, and a tag, a digest of the
// manifest, or both.
func registryProblem(text string, config *wasmadmission.WasmAdmissionConfiguration) string {
	const remedy = "write registry://host/repository:tag or registry://host/repository@sha256:…"
	reference, err := moduleuri.ParseReference(text)
	switch {
	case strings.Count(text, "@") > 1, strings.ContainsAny(text, "?#"):
		return "is not a reference to an artifact: " + remedy
	case errors.Is(err, moduleuri.ErrDigest):
		return `has something other than a digest after the @: write "sha256:" and 64 lower-case hexadecimal digits`
	case errors.Is(err, moduleuri.ErrEmptyTag):
		return "has an empty tag: write one or remove the colon"
	case err != nil:
		return fmt.Sprintf("is not a reference to an artifact, %s: %s",
			strings.TrimPrefix(err.Error(), errdef.ErrInvalidReference.Error()+": "), remedy)
	}
	if problem := hostProblem(reference.Registry); problem != "" {
		return problem
	}
	if config.StateDirectory == "" && config.Sources.Layout == "" {
		return "is in a registry, but there is no directory for modules from registries: set stateDirectory"
	}
	return ""
}

// layoutProblem checks the part after oci-layout://: the path of a layout, and a reference to an
// artifact in it.
func layoutProblem(rest string) string {
	const remedy = "write oci-layout:///path:host/repository:tag, oci-layout:///path:tag or oci-layout:///path@sha256:…"
	in, err := moduleuri.ParseInLayout(rest)
	switch {
	case errors.Is(err, moduleuri.ErrNoReference):
		return "does not name an artifact in the layout: " + remedy
	case err != nil:
		return fmt.Sprintf("is not an artifact in a layout, %v: %s", err, remedy)
	}
	return modulePathProblem(in.Path)
}

// serverProblem checks the URI of a module on a web server.
func serverProblem(uri string, sources *wasmadmission.Sources) string {
	const remedy = "write https://, a host and a path"
	parsed, err := url.Parse(uri)
	if err != nil {
		var wrong *url.Error
		if errors.As(err, &wrong) {
			err = wrong.Err
		}
		return fmt.Sprintf("cannot be parsed, %v: %s", err, remedy)
	}
	switch problem := hostProblem(parsed.Host); {
	case parsed.User != nil:
		return "holds credentials, which would be logged: put them into sources.dockerConfig, or serve the module without them"
	case problem != "":
		return problem
	case strings.Contains(uri, "?"):
		return "has a query, which may be a secret and would be logged: serve the module at a path without a query"
	case strings.Contains(uri, "#"):
		return "has a fragment, which no server sees: remove it"
	case strings.TrimLeft(parsed.Path, "/") == "":
		return "names no file: " + remedy
	case parsed.Scheme == "http" && !moduleuri.IsListed(sources.Insecure, "http", parsed.Host):
		return fmt.Sprintf(
			"would be fetched without TLS: write https://, or add %s to sources.insecure",
			parsed.Host)
	}
	return ""
}

// fileProblem checks the part after file://. The path is taken literally, so that there is only one
// way to write it and nothing to decode.
func fileProblem(rest string) string {
	const remedy = "write file:// and the absolute path of the module"
	switch {
	case rest == "" || rest == "/":
		return "names no file: " + remedy
	case rest[0] == '.' || !strings.Contains(rest, "/"):
		return "has a relative path, and there is no directory to start from: " +
			remedy
	case rest[0] != '/':
		host, _, _ := strings.Cut(rest, "/")
		return fmt.Sprintf(
			"names the host %q, and only files of this machine can be read: %s, which begins with /",
			host, remedy)
	}
	return modulePathProblem(rest)
}

func modulePathProblem(file string) string {
	switch i := strings.IndexAny(file, "?#%"); {
	case i >= 0 && file[i] == '?':
		return "has a query, which means nothing for a file: remove it, or rename a file that has ? in its name"
	case i >= 0 && file[i] == '#':
		return "has a fragment, which means nothing for a file: remove it, or rename a file that has # in its name"
	case i >= 0:
		return "holds %, and paths are not percent-encoded: write the path as it is, or rename a file that has % in its name"
	case path.Clean(file) != file:
		return "has a path that is not clean: write " + fileScheme + path.Clean(file)
	case hasControlCharacter(file):
		return "contains a control character: rename the file"
	}
	return ""
}
