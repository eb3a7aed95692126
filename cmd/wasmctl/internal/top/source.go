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

package top

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/kubeconfig"
)

// Limits for reading metrics. An apiserver of a large cluster serves about 10 MiB.
const (
	maxMetrics = 128 << 20
	timeout    = 30 * time.Second
)

// Source is a source of metrics.
type Source struct {
	// Name is the location of the source, without possible secrets.
	Name string
	open func(ctx context.Context) (io.ReadCloser, error)
	// limit is the maximum number of bytes. 0 selects maxMetrics.
	limit int64
}

// Snapshot reads the current metrics, within 30 seconds and up to 128 MiB.
func (s *Source) Snapshot(ctx context.Context) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := s.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", s.Name, err)
	}
	limit := cmp.Or(s.limit, maxMetrics)
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("asking %s: %w", s.Name, err)
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf(
			"asking %s: the metrics are longer than %d bytes, more than those of any server: name an address that serves metrics",
			s.Name, limit)
	}
	snapshot, err := Read(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", s.Name, err)
	}
	return snapshot, nil
}

// NewSource returns a source of metrics: a URL or a file, or with an empty location the server in
// the kubeconfig's current context.
func NewSource(where, configPath string) (*Source, error) {
	switch {
	case strings.HasPrefix(where, "http://"), strings.HasPrefix(where, "https://"):
		address, err := url.Parse(where)
		if err != nil {
			return nil, errors.New("the URL of the metrics cannot be parsed")
		}
		return &Source{
			Name: address.Scheme + "://" + address.Host + address.Path,
			open: getter(http.DefaultClient, where),
		}, nil
	case where != "":
		return &Source{
			Name: where,
			open: func(context.Context) (io.ReadCloser, error) { return os.Open(where) },
		}, nil
	}
	config, err := kubeconfig.Load(configPath)
	if err != nil {
		return nil, fmt.Errorf(
			"reading the kubeconfig (name one with --kubeconfig or in KUBECONFIG): %w",
			err)
	}
	client, server, err := kubeconfig.Client(config)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return &Source{Name: server, open: getter(client, kubeconfig.URL(server, "/metrics"))}, nil
}

func getter(client *http.Client, address string) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		response, err := client.Do(request)
		if err != nil {
			// Drop the wrapper with the URL, which may have a secret in its query.
			if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
				err = wrapped.Err
			}
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			return nil, errors.Join(fmt.Errorf("it answered %d: the user must be allowed to get /metrics",
				response.StatusCode), response.Body.Close())
		}
		return response.Body, nil
	}
}
