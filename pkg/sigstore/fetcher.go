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

package sigstore

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
)

// boundFetcher adds a context to the downloads of the TUF client, which does not support contexts.
type boundFetcher struct {
	ctx    context.Context
	client http.Client
}

var _ fetcher.Fetcher = &boundFetcher{}

func newFetcher(ctx context.Context, client *http.Client) *boundFetcher {
	f := &boundFetcher{ctx: ctx}
	if client != nil {
		f.client = *client
	}
	// The repository needs no redirects, and the hosts that it names should not receive requests.
	f.client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	return f
}

// DownloadFile returns a file of at most maxLength bytes. A status of 404 tells the TUF client that
// there is no newer root.
func (f *boundFetcher) DownloadFile(url string, maxLength int64, _ time.Duration) ([]byte, error) {
	request, err := http.NewRequestWithContext(f.ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := f.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusOK {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: response.StatusCode, URL: url}
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxLength+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > maxLength {
		return nil, &metadata.ErrDownloadLengthMismatch{
			Msg: fmt.Sprintf("%s has more than %d bytes", url, maxLength),
		}
	}
	return content, nil
}
