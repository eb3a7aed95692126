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

package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/jsonpatch"
)

// Request is a host call in the form of sessions: a variant, which stands for namespace and
// operation, with fields.
type Request struct {
	// Variant is the name of the variant, such as "KubernetesGetResource".
	Variant string
	// Fields are the fields of the variant, in the form of [jsonpatch.Decode]. None is null.
	Fields map[string]any
}

// The variants.
const (
	variantManifestDigest    = "OciManifestDigest"
	variantManifest          = "OciManifest"
	variantManifestAndConfig = "OciManifestAndConfig"
	variantLookupHost        = "DNSLookupHost"
	variantCertificate       = "CryptoIsCertificateTrusted"
	variantListNamespace     = "KubernetesListResourceNamespace"
	variantListAll           = "KubernetesListResourceAll"
	variantGet               = "KubernetesGetResource"
	variantCanI              = "KubernetesCanI"
	// Guests do not send these. Hosts use them to collect the data of Rego policies.
	variantPluralName = "KubernetesGetResourcePluralName"
	variantHasChanged = "HasKubernetesListResourceAllResultChangedSinceInstant"
)

// signatureVariants are the variants of oci/v1/verify and oci/v2/verify. The payloads of these
// operations name their variant.
var signatureVariants = []string{
	"SigstorePubKeyVerify", "SigstoreKeylessVerify", "SigstoreKeylessPrefixVerify",
	"SigstoreGithubActionsVerify", "SigstoreCertificateVerify",
}

var variants = slices.Concat(signatureVariants, []string{
	variantManifestDigest, variantManifest, variantManifestAndConfig, variantLookupHost,
	variantCertificate,
	variantListNamespace, variantListAll, variantGet, variantCanI, variantPluralName,
	variantHasChanged,
})

// textVariants are the variants of operations with a text as the payload, by namespace and
// operation, with the field for the text.
var textVariants = map[string]struct{ variant, field string }{
	"oci/v1/manifest_digest":     {variantManifestDigest, "image"},
	"oci/v1/oci_manifest":        {variantManifest, "image"},
	"oci/v1/oci_manifest_config": {variantManifestAndConfig, "image"},
	"net/v1/dns_lookup_host":     {variantLookupHost, "host"},
}

// objectVariants are the variants of operations whose payload is an object with the same fields.
var objectVariants = map[string]string{
	"kubernetes/list_resources_by_namespace": variantListNamespace,
	"kubernetes/list_resources_all":          variantListAll,
	"kubernetes/get_resource":                variantGet,
	"kubernetes/can_i":                       variantCanI,
}

// RequestOf returns the request for a host call.
func RequestOf(namespace, operation string, payload []byte) (Request, error) {
	value, err := jsonpatch.Decode(payload)
	if err != nil {
		return Request{}, fmt.Errorf("the payload is not valid JSON: %w", err)
	}
	path := namespace + "/" + operation
	if of, found := textVariants[path]; found {
		text, ok := value.(string)
		if !ok {
			return Request{}, errors.New("the payload is not a string")
		}
		return Request{Variant: of.variant, Fields: map[string]any{of.field: text}}, nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return Request{}, errors.New("the payload is not an object")
	}
	switch path {
	case "oci/v1/verify":
		return tagged(fields)
	case "oci/v2/verify":
		variant, _ := fields["type"].(string)
		delete(fields, "type")
		return newRequest(variant, fields)
	case "crypto/v1/is_certificate_trusted":
		return newRequest(variantCertificate, map[string]any{"request": fields})
	}
	variant, found := objectVariants[path]
	if !found {
		return Request{}, fmt.Errorf("sessions do not support the host capability %s", path)
	}
	return newRequest(variant, fields)
}

// tagged returns the request in an object with a single field, which is named after the variant.
func tagged(fields map[string]any) (Request, error) {
	for variant, value := range fields {
		if inner, ok := value.(map[string]any); ok && len(fields) == 1 {
			return newRequest(variant, inner)
		}
	}
	return Request{}, errors.New(
		"the payload is not an object with one field, which names the kind of signature")
}

// newRequest returns a request in the normal form for comparisons. Old recordings lack some fields,
// and SDKs differ in some of them.
func newRequest(variant string, fields map[string]any) (Request, error) {
	if !slices.Contains(variants, variant) {
		return Request{}, fmt.Errorf(
			"%q is not a request in sessions, which have %v", variant, variants)
	}
	fields = withoutNulls(fields).(map[string]any)
	switch variant {
	case variantGet:
		defaultToFalse(fields, "disable_cache")
	case variantCanI:
		fields = canI(fields)
	}
	return Request{Variant: variant, Fields: fields}, nil
}

// canI unifies the spellings of a SubjectAccessReview. The review's spec may be the object itself
// or one of several fields, and its attributes have two names.
func canI(fields map[string]any) map[string]any {
	is := map[string]any{}
	if disabled, found := fields["disable_cache"]; found {
		is["disable_cache"] = disabled
	}
	defaultToFalse(is, "disable_cache")
	spec := fields
	for _, name := range []string{"request", "subject_access_review", "spec"} {
		if inner, ok := spec[name].(map[string]any); ok {
			spec = inner
		}
	}
	review := map[string]any{}
	for name, value := range spec {
		switch name {
		case "apiVersion", "kind", "disable_cache":
		case "resourceAttributes":
			review["resource_attributes"] = value
		default:
			review[name] = value
		}
	}
	is["request"] = review
	return is
}

func defaultToFalse(fields map[string]any, name string) {
	if _, found := fields[name]; !found {
		fields[name] = false
	}
}

// withoutNulls returns a value without null fields, which mean the same as absent ones.
func withoutNulls(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, field := range value {
			if field == nil {
				delete(value, name)
				continue
			}
			value[name] = withoutNulls(field)
		}
	case []any:
		for n := range value {
			value[n] = withoutNulls(value[n])
		}
	}
	return value
}

// Equal reports whether two requests are the same.
func (r Request) Equal(other Request) bool {
	return r.Variant == other.Variant && jsonpatch.Equal(r.Fields, other.Fields)
}

// String names the request in one line, for people. It has no JSON quotes, because some guests put
// an error into JSON of their own without escaping it.
func (r Request) String() string {
	fields, err := json.Marshal(r.Fields)
	if err != nil {
		return r.Variant
	}
	return r.Variant + " " + strings.ReplaceAll(string(fields), `"`, "")
}

// text returns a field that is a string, or "" if it is not.
func (r Request) text(field string) string {
	text, _ := r.Fields[field].(string)
	return text
}
