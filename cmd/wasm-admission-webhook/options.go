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

package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/webhook"
	"github.com/wasm-admission/wasm-admission/pkg/webhook/registration"
)

// options holds the values of the flags.
type options struct {
	config, kubeconfig          string
	address, statusAddress      string
	certificate, key, clientCA  string
	service, url, caBundle      string
	configurationName           string
	statusNamespace             string
	excludedNamespaces          []string
	write, print                bool
	maxBodyBytes, maxBytes      int64
	maxRequests                 int64
	drainDelay, drainTimeout    time.Duration
	serviceReference            *admissionregistrationv1.ServiceReference
	readConfig, readBundleBytes []byte
}

func newOptions() *options {
	return &options{
		address: ":8443", statusAddress: ":8080", configurationName: "wasm-admission", write: true,
		maxBodyBytes: webhook.DefaultMaxBodyBytes, maxBytes: webhook.DefaultMaxBytes,
		maxRequests: webhook.DefaultMaxRequests,
		drainDelay:  10 * time.Second, drainTimeout: 30 * time.Second,
	}
}

func (o *options) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.config, "config", o.config, "file with a WasmAdmissionConfiguration")
	flags.StringVar(&o.kubeconfig, "kubeconfig", o.kubeconfig,
		"kubeconfig of the cluster; that of the Pod's service account if empty")
	flags.StringVar(&o.address, "bind-address", o.address,
		"host:port to serve admission reviews at, over TLS")
	flags.StringVar(&o.statusAddress, "status-address", o.statusAddress,
		"host:port to serve /healthz, /readyz and /metrics at, without TLS")
	flags.StringVar(&o.certificate, "tls-cert-file", o.certificate,
		"PEM file with the serving certificate; it is watched")
	flags.StringVar(&o.key, "tls-private-key-file", o.key,
		"PEM file with the key of the serving certificate; it is watched")
	flags.StringVar(&o.clientCA, "client-ca-file", o.clientCA,
		"PEM file with the CA certificates for client certificates; it is watched. If empty, anybody may send admission reviews")
	flags.StringVar(&o.service, "service", o.service,
		"NAMESPACE/NAME or NAMESPACE/NAME:PORT of the Service through which the apiserver reaches this server")
	flags.StringVar(&o.url, "url", o.url,
		"https:// URL at which the apiserver reaches this server, instead of a Service")
	flags.StringVar(&o.caBundle, "ca-bundle-file", o.caBundle,
		"PEM file with the CA certificates with which the apiserver verifies the serving certificate; it is watched. If empty, the webhook configurations keep the certificates that others put there")
	flags.StringVar(&o.configurationName, "configuration-name", o.configurationName,
		"name of the ValidatingWebhookConfiguration and the MutatingWebhookConfiguration")
	flags.StringVar(&o.statusNamespace, "status-namespace", o.statusNamespace,
		"namespace of the Leases in which replicas report what they serve; that of the Service if empty. Without both, nothing is reported")
	flags.StringSliceVar(&o.excludedNamespaces, "exclude-namespaces", o.excludedNamespaces,
		"namespaces that no policy sees, in addition to that of the Service")
	flags.BoolVar(&o.write, "write-webhook-configurations", o.write,
		"keep the webhook configurations of the cluster up to date with the policies")
	flags.BoolVar(&o.print, "print-webhook-configurations", o.print,
		"print the webhook configurations of the policies as YAML and exit; neither a cluster nor certificates are needed")
	flags.Int64Var(&o.maxBodyBytes, "max-body-bytes", o.maxBodyBytes,
		"maximum size of an admission review, in bytes")
	flags.Int64Var(&o.maxBytes, "max-bytes", o.maxBytes,
		"maximum total size of concurrent admission reviews, in bytes; further ones are refused")
	flags.Int64Var(&o.maxRequests, "max-requests", o.maxRequests,
		"maximum number of concurrent admission reviews; further ones are refused")
	flags.DurationVar(&o.drainDelay, "drain-delay", o.drainDelay,
		"how long to keep serving after SIGTERM, while unready, until no apiserver sends reviews here")
	flags.DurationVar(&o.drainTimeout, "drain-timeout", o.drainTimeout,
		"how long to wait after that for running admission reviews")
}

// validate checks the flags, and reads the files that are read only once. The error has a line for
// each problem.
func (o *options) validate() error {
	var problems []error
	problem := func(format string, arguments ...any) {
		problems = append(problems, fmt.Errorf(format, arguments...))
	}
	var err error
	if o.config == "" {
		problem("--config: name a file with a WasmAdmissionConfiguration")
	} else if o.readConfig, err = readBounded(o.config, 2*load.MaxSize); err != nil {
		problem("--config: %w", err)
	}
	if !o.print && (o.certificate == "" || o.key == "") {
		problem(
			"--tls-cert-file, --tls-private-key-file: name the files of a serving certificate and its key")
	}
	if names := validation.IsDNS1123Subdomain(o.configurationName); len(names) > 0 {
		problem("--configuration-name: %q: %s", o.configurationName, strings.Join(names, ", "))
	}
	if err := o.validateTarget(); err != nil {
		problems = append(problems, err)
	}
	for flag, value := range map[string]int64{
		"max-body-bytes": o.maxBodyBytes,
		"max-bytes":      o.maxBytes,
		"max-requests":   o.maxRequests,
	} {
		if value <= 0 {
			problem("--%s: %d: must be positive", flag, value)
		}
	}
	if o.maxBytes < o.maxBodyBytes {
		problem("--max-bytes: %d: must be at least --max-body-bytes, %d", o.maxBytes,
			o.maxBodyBytes)
	}
	for flag, value := range map[string]time.Duration{
		"drain-delay":   o.drainDelay,
		"drain-timeout": o.drainTimeout,
	} {
		if value < 0 {
			problem("--%s: %s: must not be negative", flag, value)
		}
	}
	if o.caBundle != "" {
		if o.readBundleBytes, err = readBounded(o.caBundle, maxBundleBytes); err != nil {
			problem("--ca-bundle-file: %w", err)
		}
	}
	return errors.Join(problems...)
}

// maxBundleBytes bounds the certificates in a webhook configuration. Each webhook contains them,
// and etcd accepts 1.5 MiB in total.
const maxBundleBytes = 64 << 10

func (o *options) validateTarget() error {
	switch {
	case !o.write && !o.print:
		return nil
	case (o.service == "") == (o.url == ""):
		return errors.New(
			"--service, --url: set one of them, through which the apiserver reaches this server, or do not write webhook configurations, with --write-webhook-configurations=false")
	case o.url != "":
		if u, err := url.Parse(o.url); err != nil || u.Scheme != "https" || u.Host == "" ||
			strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" ||
			u.User != nil {
			return fmt.Errorf(
				"--url: %q: must be https://host or https://host:port, without a path", o.url)
		}
		return nil
	}
	namespace, rest, found := strings.Cut(o.service, "/")
	name, port, hasPort := strings.Cut(rest, ":")
	o.serviceReference = &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: name}
	number, err := strconv.ParseUint(port, 10, 16)
	if !found || hasPort && (err != nil || number == 0) ||
		len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1035Label(name)) > 0 {
		return fmt.Errorf("--service: %q: must be NAMESPACE/NAME or NAMESPACE/NAME:PORT", o.service)
	}
	if hasPort {
		o.serviceReference.Port = new(int32(number))
	}
	return nil
}

// target returns how the apiserver reaches the webhooks of a configuration.
func (o *options) target(config *wasmadmission.WasmAdmissionConfiguration) registration.Target {
	t := registration.Target{
		Name: o.configurationName, Service: o.serviceReference, URL: o.url,
		CABundle:           o.readBundleBytes,
		ExcludedNamespaces: o.excludedNamespaces, Exemptions: config.Exemptions,
	}
	if o.serviceReference != nil {
		t.ExcludedNamespaces = append([]string{o.serviceReference.Namespace},
			t.ExcludedNamespaces...)
	}
	return t
}

// restConfig returns the client configuration for the cluster. It sets no rate limit, because
// policies wait for the answers, and the apiserver has its own fairness.
func (o *options) restConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	config.QPS, config.UserAgent = -1, "wasm-admission-webhook"
	return config, nil
}

// readBounded reads a file up to a maximum size.
func readBounded(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, nil
}
