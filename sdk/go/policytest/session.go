//go:build !wasip1

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

package policytest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// exchange is a host call and its answer.
type exchange struct {
	path            string
	payload, answer []byte
	err             error
}

// variants are the names of host calls in sessions.
var variants = map[string]string{
	"kubernetes/list_resources_by_namespace": "KubernetesListResourceNamespace",
	"kubernetes/list_resources_all":          "KubernetesListResourceAll",
	"kubernetes/get_resource":                "KubernetesGetResource",
	"kubernetes/can_i":                       "KubernetesCanI",
	"oci/v1/manifest_digest":                 "OciManifestDigest",
	"oci/v1/oci_manifest":                    "OciManifest",
	"oci/v1/oci_manifest_config":             "OciManifestAndConfig",
	"net/v1/dns_lookup_host":                 "DNSLookupHost",
	"crypto/v1/is_certificate_trusted":       "CryptoIsCertificateTrusted",
}

// session returns exchanges in the format that wasmctl and kwctl replay. Sessions contain no logs.
func session(exchanges []exchange) ([]byte, error) {
	recorded := []map[string]any{}
	for _, e := range exchanges {
		if e.path == "tracing/log" {
			continue
		}
		request, err := e.request()
		if err != nil {
			return nil, err
		}
		response := map[string]any{"type": "Success", "payload": string(e.answer)}
		if e.err != nil {
			// The host that replays the session adds the rest.
			response = map[string]any{"type": "Error", "message": errors.Unwrap(e.err).Error()}
		}
		recorded = append(recorded,
			map[string]any{"type": "Exchange", "request": request, "response": response})
	}
	return json.Marshal(recorded)
}

// request returns the request of an exchange: YAML with a tag and fields, which may be in JSON.
func (e *exchange) request() (string, error) {
	variant, fields := variants[e.path], json.RawMessage(e.payload)
	switch e.path {
	case "oci/v1/manifest_digest", "oci/v1/oci_manifest", "oci/v1/oci_manifest_config":
		fields = JSON(map[string]any{"image": fields})
	case "net/v1/dns_lookup_host":
		fields = JSON(map[string]any{"host": fields})
	case "crypto/v1/is_certificate_trusted":
		fields = JSON(map[string]any{"request": fields})
	case "oci/v2/verify":
		var members map[string]json.RawMessage
		if err := json.Unmarshal(e.payload, &members); err != nil {
			return "", err
		}
		if err := json.Unmarshal(members["type"], &variant); err != nil {
			return "", err
		}
		delete(members, "type")
		fields = JSON(members)
	}
	if variant == "" {
		return "", fmt.Errorf("the host call %s cannot be replayed", e.path)
	}
	return "!" + variant + " " + string(fields), nil
}
