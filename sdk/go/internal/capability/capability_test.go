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

package capability_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wasm-admission/wasm-admission/sdk/go/certificate"
	"github.com/wasm-admission/wasm-admission/sdk/go/internal/guest"
	"github.com/wasm-admission/wasm-admission/sdk/go/kubernetes"
	"github.com/wasm-admission/wasm-admission/sdk/go/logging"
	"github.com/wasm-admission/wasm-admission/sdk/go/network"
	"github.com/wasm-admission/wasm-admission/sdk/go/oci"
	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
)

type named struct {
	Name string `json:"name"`
}

// TestCalls shows the requests to hosts, and the results of their answers.
func TestCalls(t *testing.T) {
	verified := `{"is_trusted":true,"digest":"sha256:1"}`
	for _, tc := range []struct {
		name               string
		call               func() (any, error)
		path, want, answer string
		result             any
	}{
		{
			"get", func() (any, error) {
				return kubernetes.Get[named](kubernetes.GetOptions{
					APIVersion: "v1",
					Kind:       "Namespace",
					Name:       "a",
				})
			},
			"kubernetes/get_resource",
			`{"api_version":"v1","kind":"Namespace","name":"a","disable_cache":false}`,
			`{"name":"a"}`, named{"a"},
		}, {
			"get with all", func() (any, error) {
				return kubernetes.Get[named](kubernetes.GetOptions{
					APIVersion:   "v1",
					Kind:         "Pod",
					Namespace:    "b",
					Name:         "a",
					DisableCache: true,
					FieldMasks:   []string{"spec"},
				})
			},
			"kubernetes/get_resource",
			`{"api_version":"v1","kind":"Pod","name":"a","namespace":"b","disable_cache":true,"field_masks":["spec"]}`,
			`{}`, named{},
		}, {
			"list", func() (any, error) {
				return kubernetes.List[named](kubernetes.ListOptions{APIVersion: "v1", Kind: "Pod"})
			},
			"kubernetes/list_resources_all", `{"api_version":"v1","kind":"Pod"}`,
			`{"items":[{"name":"a"},{"name":"b"}]}`, []named{{"a"}, {"b"}},
		}, {
			"list of a namespace", func() (any, error) {
				return kubernetes.List[named](kubernetes.ListOptions{
					APIVersion:    "v1",
					Kind:          "Pod",
					Namespace:     "b",
					LabelSelector: "c=d",
					FieldSelector: "e=f",
					FieldMasks:    []string{"g"},
				})
			},
			"kubernetes/list_resources_by_namespace",
			`{"api_version":"v1","kind":"Pod","namespace":"b","label_selector":"c=d","field_selector":"e=f","field_masks":["g"]}`,
			`{"items":[]}`, []named{},
		}, {
			"can i", func() (any, error) {
				return kubernetes.CanI(kubernetes.AccessReview{
					User: "u",
					ResourceAttributes: kubernetes.ResourceAttributes{
						Resource: "pods",
						Verb:     "get",
					},
				}, true)
			},
			"kubernetes/can_i",
			`{"subject_access_review":{"user":"u","resource_attributes":{"resource":"pods","verb":"get"}},"disable_cache":true}`,
			`{"allowed":true,"reason":"r"}`,
			kubernetes.AccessReviewStatus{Allowed: true, Reason: "r"},
		},
		{"digest", func() (any, error) { return oci.ManifestDigest("i") }, "oci/v1/manifest_digest",
			`"i"`, `{"digest":"sha256:1"}`, "sha256:1"},
		{"manifest", func() (any, error) { return oci.Manifest("i") }, "oci/v1/oci_manifest", `"i"`,
			`{"a":1}`, json.RawMessage(`{"a":1}`)},
		{
			"config", func() (any, error) { return oci.ManifestAndConfig("i") },
			"oci/v1/oci_manifest_config", `"i"`,
			`{"digest":"d","manifest":{},"config":{"a":1}}`,
			oci.Image{
				Digest:   "d",
				Manifest: json.RawMessage(`{}`),
				Config:   json.RawMessage(`{"a":1}`),
			},
		}, {
			"keys", func() (any, error) {
				return oci.VerifyPublicKeys("i", []string{"k"}, map[string]string{"a": "b"})
			},
			"oci/v2/verify",
			`{"type":"SigstorePubKeyVerify","image":"i","pub_keys":["k"],"annotations":{"a":"b"}}`,
			verified, "sha256:1",
		}, {
			"keyless", func() (any, error) {
				return oci.VerifyKeyless("i", []oci.Identity{{Issuer: "a", Subject: "b"}}, nil)
			},
			"oci/v2/verify",
			`{"type":"SigstoreKeylessVerify","image":"i","keyless":[{"issuer":"a","subject":"b"}]}`,
			verified, "sha256:1",
		}, {
			"prefix", func() (any, error) {
				return oci.VerifyKeylessPrefix("i",
					[]oci.PrefixIdentity{{Issuer: "a", URLPrefix: "b"}}, nil)
			},
			"oci/v2/verify",
			`{"type":"SigstoreKeylessPrefixVerify","image":"i","keyless_prefix":[{"issuer":"a","url_prefix":"b"}]}`,
			verified, "sha256:1",
		}, {
			"github", func() (any, error) { return oci.VerifyGitHubActions("i", "o", "", nil) },
			"oci/v2/verify", `{"type":"SigstoreGithubActionsVerify","image":"i","owner":"o"}`,
			verified, "sha256:1",
		}, {
			"certificate", func() (any, error) {
				return oci.VerifyCertificate("i",
					oci.CertificateIdentity{
						Certificate: []byte{45, 255},
						Chain:       [][]byte{{1}, {2, 3}},
					}, nil)
			},
			"oci/v2/verify",
			`{"type":"SigstoreCertificateVerify","image":"i","certificate":[45,255],"certificate_chain":[[1],[2,3]],"require_rekor_bundle":false}`,
			verified, "sha256:1",
		},
		{"host", func() (any, error) { return network.LookupHost("h") }, "net/v1/dns_lookup_host",
			`"h"`, `{"ips":["1.2.3.4"]}`, []string{"1.2.3.4"}},
		{
			"certificate alone", func() (any, error) {
				return nil, certificate.Verify(certificate.Certificate{
					Encoding: certificate.PEM,
					Data:     []byte{1},
				}, certificate.Options{})
			},
			"crypto/v1/is_certificate_trusted",
			`{"cert":{"encoding":"Pem","data":[1]},"cert_chain":null}`,
			`{"trusted":true,"reason":""}`, nil,
		}, {
			"certificate with all", func() (any, error) {
				return nil, certificate.Verify(certificate.Certificate{
					Encoding: certificate.DER,
					Data:     []byte{1},
				}, certificate.Options{
					Chain: []certificate.Certificate{{
						Encoding: certificate.DER, Data: []byte{2},
					}},
					Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)})
			},
			"crypto/v1/is_certificate_trusted",
			`{"cert":{"encoding":"Der","data":[1]},"cert_chain":[{"encoding":"Der","data":[2]}],"not_after":"2026-01-02T03:04:05Z"}`,
			`{"trusted":true,"reason":""}`, nil,
		}, {
			"logger", func() (any, error) {
				logging.New(logging.LevelTrace).With("a", 1).WithGroup("g").
					Warn("hot", "time", "noon")
				return nil, nil
			},
			"tracing/log", `{"level":"warning","message":"hot","a":1,"g":{"time":"noon"}}`, "", nil,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var asked string
			guest.WithHost(func(binding, namespace, operation string,
				payload []byte) ([]byte, error) {
				asked = binding + " " + namespace + "/" + operation + " " + string(payload)
				return []byte(tc.answer), nil
			}, func() {
				got, err := tc.call()
				if err != nil || !reflect.DeepEqual(got, tc.result) {
					t.Errorf("got %+v, %v, want %+v", got, err, tc.result)
				}
			})
			if want := "kubewarden " + tc.path + " " + tc.want; asked != want {
				t.Errorf("asked %s\nwant %s", asked, want)
			}
		})
	}
}

// An empty chain does not stand for the host's roots.
func TestEmptyChains(t *testing.T) {
	var asked []string
	guest.WithHost(func(_, _, _ string, payload []byte) ([]byte, error) {
		asked = append(asked, string(payload))
		return nil, errors.New("no")
	}, func() {
		_ = certificate.Verify(certificate.Certificate{},
			certificate.Options{Chain: []certificate.Certificate{}})
		_, _ = oci.VerifyCertificate("i", oci.CertificateIdentity{Chain: [][]byte{}}, nil)
	})
	for _, payload := range asked {
		if !strings.Contains(payload, `"cert_chain":[]`) &&
			!strings.Contains(payload, `"certificate_chain":[]`) {
			t.Error(payload)
		}
	}
}

// TestRefusals shows that nothing is trusted unless the host says so.
func TestRefusals(t *testing.T) {
	verify := func() error { _, err := oci.VerifyPublicKeys("i", nil, nil); return err }
	trust := func() error {
		return certificate.Verify(certificate.Certificate{}, certificate.Options{})
	}
	for _, tc := range []struct {
		call              func() error
		answer, fail, err string
	}{
		{verify, `{"is_trusted":false,"digest":"sha256:1"}`, "",
			"the host does not trust the image"},
		{verify, `{}`, "", "the host does not trust the image"},
		{verify, ``, "", "oci/v2/verify: decode the answer: unexpected end of JSON input"},
		{verify, ``, "Must provide at least one pub key", "Must provide at least one pub key"},
		{trust, `{"trusted":false,"reason":"it is old"}`, "",
			"the certificate is not trusted: it is old"},
		{trust, `{}`, "", "the certificate is not trusted: "},
		{trust, ``, "bad PEM", "bad PEM"},
	} {
		var hostErr error
		if tc.fail != "" {
			hostErr = errors.New(tc.fail)
		}
		guest.WithHost(func(_, _, _ string, _ []byte) ([]byte, error) {
			return []byte(tc.answer), hostErr
		}, func() {
			err := tc.call()
			if fmt.Sprint(err) != tc.err {
				t.Errorf("got %v, want %s", err, tc.err)
			}
			var said policy.HostError
			if errors.As(err, &said) != (tc.fail != "") {
				t.Errorf("%v is a HostError, or should be", err)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	var records []string
	guest.WithHost(func(_, _, _ string, payload []byte) ([]byte, error) {
		var record struct{ Level string }
		err := json.Unmarshal(payload, &record)
		records = append(records, record.Level)
		return nil, err
	}, func() {
		logger := logging.New(slog.LevelDebug)
		for _, level := range []slog.Level{
			logging.LevelTrace, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError,
		} {
			logger.Log(t.Context(), level, "m")
		}
	})
	if want := []string{"debug", "info", "warning", "error"}; !reflect.DeepEqual(records, want) {
		t.Error(records)
	}
}
