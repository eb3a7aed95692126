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
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/buildinfo"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/assembly/serving"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/webhook"
	"github.com/wasm-admission/wasm-admission/pkg/webhook/registration"
)

// guests returns the loaders for policies of further execution modes.
func guests() map[abi.ExecutionMode]policyset.GuestLoader {
	return map[abi.ExecutionMode]policyset.GuestLoader{
		abi.ExecutionModeOPA:        topdown.Loader(abi.ExecutionModeOPA),
		abi.ExecutionModeGatekeeper: topdown.Loader(abi.ExecutionModeGatekeeper),
	}
}

// excluded returns the resources that in-process admission never sees. They are requests for an
// answer and are not stored.
func excluded() []schema.GroupResource {
	var excluded []schema.GroupResource
	for group, resources := range map[string][]string{
		"authentication.k8s.io": {"tokenreviews", "selfsubjectreviews"},
		"authorization.k8s.io": {"localsubjectaccessreviews", "selfsubjectaccessreviews",
			"selfsubjectrulesreviews", "subjectaccessreviews"},
	} {
		for _, resource := range resources {
			excluded = append(excluded, schema.GroupResource{Group: group, Resource: resource})
		}
	}
	return excluded
}

// server is the state of this process.
type server struct {
	options      *options
	status       *status
	certificates *certificates
	policies     *serving.Server
	dispatcher   *dispatch.Dispatcher
	told         *serving.Status
	leases       coordinationclient.LeasesGetter
	writer       *registration.Writer // nil: nothing is written
}

// serve serves until ctx ends, and then until all running requests are answered.
func serve(ctx context.Context, o *options) (err error) {
	ctx = klog.NewContext(ctx, klog.Background().WithName("WasmAdmission"))
	// The context of running requests must outlive ctx.
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	told := &serving.Status{}
	s := &server{
		options: o,
		status:  newStatus(),
		told:    told,
		policies: serving.NewServer(serving.Options{
			Guests:     guests(),
			NewChecker: sigstore.ForConfiguration,
			Status:     told,
		}),
	}
	if s.certificates, err = readCertificates(o); err != nil {
		return err
	}
	status, err := listen(ctx, "--status-address", o.statusAddress,
		s.status.handler(s.policies.HealthChecks()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, status.server.Close()) }()
	status.serve(nil)
	if err := s.load(ctx, working, end); err != nil {
		return err
	}
	reviews, err := listen(working, "--bind-address", o.address, webhook.NewHandler(webhook.Options{
		Dispatcher: s.dispatcher, MaxBodyBytes: o.maxBodyBytes, MaxBytes: o.maxBytes,
		MaxRequests: o.maxRequests,
	}))
	if err != nil {
		return err
	}
	s.certificates.watch(working, s.writer)
	reviews.serve(s.certificates.config())
	if s.writer != nil {
		// The webhook configurations are written only once this server answers.
		go s.writer.Run(ctx)
	}
	s.tell(working, reviews)
	s.status.set("")
	klog.FromContext(ctx).Info("Serving admission reviews", "version", buildinfo.String(),
		"address", reviews.listener.Addr().String(),
		"statusAddress", status.listener.Addr().String())
	select {
	case <-ctx.Done():
		return s.drain(ctx, reviews)
	case err := <-reviews.failed:
		return err
	case err := <-status.failed:
		return errors.Join(err, reviews.server.Close())
	}
}

// load loads the policies, and returns once the informers' caches are filled. The policies are
// served until working ends.
func (s *server) load(ctx, working context.Context, end context.CancelFunc) error {
	defer context.AfterFunc(ctx, end)()
	config, err := s.options.decode()
	if err != nil {
		return err
	}
	cluster, err := s.options.cluster()
	if err != nil {
		return err
	}
	s.dispatcher, err = s.policies.Dispatcher(working, s.options.readConfig, *cluster)
	if err != nil {
		return err
	}
	s.leases = cluster.Client.CoordinationV1()
	cluster.Informers.Start(working.Done())
	cluster.Informers.WaitForCacheSync(working.Done())
	if ctx.Err() != nil {
		return fmt.Errorf("ended before it served: %w", context.Cause(ctx))
	}
	if !s.options.write {
		return nil
	}
	w := registration.Options{Client: cluster.Client, Target: s.options.target(config)}
	if s.certificates.bundle != nil {
		w.CABundle = s.certificates.bundle.CurrentCABundleContent
	}
	s.writer = registration.NewWriter(w)
	return s.policies.Subscribe(s.writer.Use)
}

// cluster returns the cluster of the requests. It asks the apiserver what policies may read.
func (o *options) cluster() (*serving.Cluster, error) {
	config, err := o.restConfig()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	authorizer, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(),
		AllowCacheTTL:             decisionLifetime, DenyCacheTTL: decisionLifetime,
		// A request waits for this.
		WebhookRetryBackoff: &wait.Backoff{
			Duration: 100 * time.Millisecond,
			Factor:   2,
			Jitter:   0.2,
			Steps:    3,
		},
	}.New()
	if err != nil {
		return nil, fmt.Errorf("asking the apiserver what users may do: %w", err)
	}
	return &serving.Cluster{
		Client: client, Dynamic: dynamicClient, Authorizer: authorizer, Excluded: excluded(),
		Informers: informers.NewSharedInformerFactory(client, 0),
	}, nil
}

// decisionLifetime is how long the apiserver's decision about a user stays valid.
const decisionLifetime = 5 * time.Second

// drain ends serving. It first reports that the server is not ready, and waits until clients send
// their reviews elsewhere. It then waits for the running reviews. The status stays available
// meanwhile.
func (s *server) drain(ctx context.Context, reviews *endpoint) error {
	klog.FromContext(ctx).Info("Draining", "delay", s.options.drainDelay,
		"timeout", s.options.drainTimeout)
	s.status.set("draining")
	_ = s.told.Stop() // it returns no error
	select {
	case <-time.After(s.options.drainDelay):
	case err := <-reviews.failed:
		return err
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.drainTimeout)
	defer cancel()
	if err := reviews.server.Shutdown(within); err != nil {
		return errors.Join(
			fmt.Errorf("admission reviews were still running after --drain-timeout: %w", err),
			reviews.server.Close())
	}
	return nil
}

// endpoint is a server at an address.
type endpoint struct {
	server   *http.Server
	listener net.Listener
	failed   chan error
}

// listen opens the address of a flag. Requests inherit the values of ctx.
func listen(ctx context.Context, flag, address string, handler http.Handler) (*endpoint, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return &endpoint{
		listener: listener, failed: make(chan error, 1),
		server: &http.Server{
			Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
			WriteTimeout: time.Minute, IdleTimeout: 3 * time.Minute,
			MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context {
				return ctx
			},
		},
	}, nil
}

// serve serves until the server is closed. It uses TLS if there is a configuration.
func (e *endpoint) serve(config *tls.Config) {
	e.server.TLSConfig = config
	go func() {
		var err error
		if config != nil {
			err = e.server.ServeTLS(e.listener, "", "")
		} else {
			err = e.server.Serve(e.listener)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			e.failed <- fmt.Errorf("serving at %s: %w", e.listener.Addr(), err)
		}
	}()
}
