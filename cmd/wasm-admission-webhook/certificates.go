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
	"context"
	"crypto/tls"
	"fmt"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"

	"github.com/wasm-admission/wasm-admission/pkg/webhook/registration"
)

// certificates holds this server's certificates, which are watched.
type certificates struct {
	controller *dynamiccertificates.DynamicServingCertificateController
	serving    *dynamiccertificates.DynamicCertKeyPairContent
	clientCA   *dynamiccertificates.DynamicFileCAContent // nil: clients need no certificate
	bundle     *dynamiccertificates.DynamicFileCAContent // nil: the apiserver receives no bundle
	base       *tls.Config
}

// readCertificates reads the certificates for the first time.
func readCertificates(o *options) (*certificates, error) {
	c := &certificates{
		base: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
	}
	var err error
	if c.serving, err = dynamiccertificates.NewDynamicServingContentFromFiles("serving-cert",
		o.certificate, o.key); err != nil {
		return nil, fmt.Errorf("--tls-cert-file, --tls-private-key-file: %w", err)
	}
	var clientCA dynamiccertificates.CAContentProvider
	if o.clientCA != "" {
		if c.clientCA, err = dynamiccertificates.NewDynamicCAContentFromFile("client-ca",
			o.clientCA); err != nil {
			return nil, fmt.Errorf("--client-ca-file: %w", err)
		}
		clientCA = c.clientCA
		c.base.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if o.caBundle != "" {
		if c.bundle, err = dynamiccertificates.NewDynamicCAContentFromFile("ca-bundle",
			o.caBundle); err != nil {
			return nil, fmt.Errorf("--ca-bundle-file: %w", err)
		}
	}
	c.controller = dynamiccertificates.NewDynamicServingCertificateController(c.base, clientCA,
		c.serving, nil, nil)
	if err := c.controller.RunOnce(); err != nil {
		return nil, fmt.Errorf("--tls-cert-file, --tls-private-key-file: %w", err)
	}
	c.base.GetConfigForClient = c.controller.GetConfigForClient
	return c, nil
}

// watch applies changed certificates until ctx ends. A non-nil writer is informed of a changed CA
// bundle.
func (c *certificates) watch(ctx context.Context, writer *registration.Writer) {
	c.serving.AddListener(c.controller)
	go c.serving.Run(ctx, 1)
	if c.clientCA != nil {
		c.clientCA.AddListener(c.controller)
		go c.clientCA.Run(ctx, 1)
	}
	if c.bundle != nil && writer != nil {
		c.bundle.AddListener(writer)
		go c.bundle.Run(ctx, 1)
	}
	go c.controller.Run(1, ctx.Done())
}

// config returns the TLS configuration of the listener.
func (c *certificates) config() *tls.Config { return c.base }
