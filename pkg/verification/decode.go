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
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

// configVersion is the supported version of Kubewarden's verification config.
const configVersion = "v1"

// ParseConfig parses a verification config in YAML or JSON. Unlike Kubewarden, it refuses configs
// that accept everything or nothing. Errors have a line for each problem, with its field and the
// remedy.
func ParseConfig(document []byte) (*Config, error) {
	if len(document) > MaxConfigBytes {
		return nil, fmt.Errorf(
			"the verification config has %d bytes, at most %d are allowed: make it smaller",
			len(document), MaxConfigBytes)
	}
	object := document
	if !json.Valid(document) {
		var err error
		if object, err = strictyaml.ToJSON(document); err != nil {
			text := strings.TrimPrefix(strings.TrimPrefix(err.Error(),
				"error converting YAML to JSON: "), "yaml: ")
			return nil, fmt.Errorf("the verification config is not valid YAML: %s",
				strings.Join(strings.Fields(text), " "))
		}
	}
	if err := checkVersion(object); err != nil {
		return nil, err
	}
	var decoded configDocument
	if err := decodeStrictly(nil, object, &decoded); err != nil {
		return nil, err
	}
	config, errs := decoded.config()
	if len(errs) == 0 {
		errs = config.normalize()
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return config, nil
}

// checkVersion runs first, because errors about the fields of another document would mislead.
func checkVersion(object []byte) error {
	var head map[string]json.RawMessage
	if err := json.Unmarshal(object, &head); err != nil || head == nil {
		return errors.New(
			"the verification config is not an object: write fields with values, apiVersion first")
	}
	var version string
	switch raw := head["apiVersion"]; {
	case raw == nil:
		return errors.New("apiVersion: is missing: write " + configVersion)
	case json.Unmarshal(raw, &version) != nil || version != configVersion:
		return fmt.Errorf("apiVersion: %.100s is not supported: write %s", raw, configVersion)
	}
	return nil
}

// configDocument is a config as written.
type configDocument struct {
	APIVersion string             `json:"apiVersion"`
	AllOf      *[]json.RawMessage `json:"allOf"`
	AnyOf      *anyOfDocument     `json:"anyOf"`
}

type anyOfDocument struct {
	MinimumMatches *int32            `json:"minimumMatches"`
	Signatures     []json.RawMessage `json:"signatures"`
}

// The fields of a signature depend on its kind.
type (
	publicKeyDocument struct {
		Kind        Kind              `json:"kind"`
		Owner       string            `json:"owner"`
		Key         string            `json:"key"`
		Annotations map[string]string `json:"annotations"`
	}
	genericIssuerDocument struct {
		Kind        Kind              `json:"kind"`
		Issuer      string            `json:"issuer"`
		Subject     *Subject          `json:"subject"`
		Annotations map[string]string `json:"annotations"`
	}
	gitHubActionDocument struct {
		Kind        Kind              `json:"kind"`
		Owner       string            `json:"owner"`
		Repo        *string           `json:"repo"`
		Annotations map[string]string `json:"annotations"`
	}
)

// config decodes the signatures, and checks what the config does not preserve.
func (d *configDocument) config() (*Config, []error) {
	if d.AllOf == nil && d.AnyOf == nil {
		return nil, []error{
			errors.New(
				"allOf: is missing, and so is anyOf: such a config would accept everything: write which signatures are demanded"),
		}
	}
	config := &Config{}
	var errs []error
	if d.AllOf != nil {
		config.AllOf, errs = decodeSignatures(field.NewPath("allOf"), *d.AllOf)
	}
	if d.AnyOf != nil {
		path := field.NewPath("anyOf")
		signatures, more := decodeSignatures(path.Child("signatures"), d.AnyOf.Signatures)
		config.AnyOf = &AnyOf{MinimumMatches: 1, Signatures: signatures}
		errs = append(errs, more...)
		if least := d.AnyOf.MinimumMatches; least != nil {
			config.AnyOf.MinimumMatches = int(*least)
		}
		if least, most := config.AnyOf.MinimumMatches, len(d.AnyOf.Signatures); most > 0 &&
			(least < 1 || least > most) {
			errs = append(errs,
				fmt.Errorf(
					"%s: %d of %d signatures would accept everything or nothing: write a number from 1 to %d",
					path.Child("minimumMatches"), least, most, most))
		}
	}
	return config, errs
}

func decodeSignatures(path *field.Path,
	raw []json.RawMessage) (signatures []Signature, errs []error) {
	switch {
	case len(raw) == 0:
		return nil, []error{
			fmt.Errorf(
				"%s: is empty, which would demand nothing: write which signatures are demanded",
				path),
		}
	case len(raw) > maxSignatures:
		return nil, []error{
			fmt.Errorf("%s: has %d entries, at most %d are allowed: remove some", path, len(raw),
				maxSignatures),
		}
	}
	for n := range raw {
		s, err := decodeSignature(path.Index(n), raw[n])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		signatures = append(signatures, *s)
	}
	return signatures, errs
}

func decodeSignature(path *field.Path, raw json.RawMessage) (*Signature, error) {
	var head struct {
		Kind Kind `json:"kind"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &head); err != nil {
		return nil, fmt.Errorf(
			"%s: is not an object with a kind: write kind and the fields that belong to it",
			path)
	}
	switch head.Kind {
	case KindPublicKey:
		var d publicKeyDocument
		err := decodeStrictly(path, raw, &d)
		return &Signature{Kind: d.Kind, Owner: d.Owner, Key: d.Key, Annotations: d.Annotations}, err
	case KindGenericIssuer:
		var d genericIssuerDocument
		err := decodeStrictly(path, raw, &d)
		return &Signature{
			Kind:        d.Kind,
			Issuer:      d.Issuer,
			Subject:     d.Subject,
			Annotations: d.Annotations,
		}, err
	case KindGitHubAction:
		var d gitHubActionDocument
		err := decodeStrictly(path, raw, &d)
		s := &Signature{Kind: d.Kind, Owner: d.Owner, Annotations: d.Annotations}
		if d.Repo != nil {
			if s.Repo = *d.Repo; s.Repo == "" && err == nil {
				err =
					fmt.Errorf(
						"%s: is empty: write a name, or remove it if all repositories of the owner are meant",
						path.Child("repo"))
			}
		}
		return s, err
	}
	return nil, fmt.Errorf("%s: %.100q is not supported: write one of %s, %s, %s",
		path.Child("kind"), head.Kind, KindPublicKey, KindGenericIssuer, KindGitHubAction)
}

// decodeStrictly decodes an object and returns an error for each invalid field. A nil path is the
// document.
func decodeStrictly[T any](path *field.Path, raw []byte, into *T) error {
	strict, err := kjson.UnmarshalStrict(raw, into)
	if err == nil && len(strict) == 0 {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return err
	}
	errs := explain.Fields(path, fields, func() any { return new(T) })
	if len(errs) == 0 { // the map does not show duplicate fields
		for _, s := range strict {
			errs = append(errs, explain.Strict(s)...)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
