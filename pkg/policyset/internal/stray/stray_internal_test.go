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

package stray

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLoadsThatDoNotEndAreBounded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	s, release, ended := &Calls{}, make(chan struct{}), make(chan error)
	late := make(chan int, maxCalls)
	var begun sync.WaitGroup
	begun.Add(maxCalls)
	for n := range maxCalls {
		go func() {
			_, err := Within(ctx, s, "a test", func() (int, error) {
				begun.Done()
				<-release
				return n, nil
			}, func(n int) { late <- n })
			ended <- err
		}()
	}
	begun.Wait()
	why := errors.New("enough")
	cancel(why)
	for range maxCalls {
		require.ErrorIs(t, <-ended, why)
	}
	call := func() error {
		_, err := Within(t.Context(), s, "a test", func() (int, error) { return 0, nil },
			func(int) {})
		return err
	}
	require.ErrorContains(t, call(),
		"16 earlier loads were given up and have not ended, at most 16 may")
	close(release)
	for range maxCalls {
		<-late
	}
	require.Eventually(t, func() bool { return call() == nil }, time.Minute, time.Millisecond)
}
