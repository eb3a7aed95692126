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

package kubernetes

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestErrorsAreTheAnswerForAWhile(t *testing.T) {
	for reason, pause := range map[stopReason]time.Duration{
		stopIdle:     -1,
		stopEvicted:  -1,
		stopFailed:   retryPause,
		stopTooLarge: tooLargePause,
	} {
		t.Run(string(reason), func(t *testing.T) {
			clock := clocktesting.NewFakeClock(time.Now())
			r := &reflection{
				clock:    clock,
				logger:   klog.Background(),
				recorder: discard{},
				cancel:   func() {},
				filled:   make(chan struct{}),
				ended:    make(chan struct{}),
			}
			require.False(t, r.over(clock.Now().Add(time.Hour)), "it has not ended")
			r.finish(reason, errors.New("first"))
			r.finish(stopFailed, errors.New("second"))
			_, err := r.list(t.Context())
			require.EqualError(t, err, "first")
			require.Equal(t, pause < 0, r.over(clock.Now()))
			require.True(t, r.over(clock.Now().Add(pause+1)))
		})
	}
}
