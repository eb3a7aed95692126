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
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"
)

// pod returns a pod as the server returns it after the scheduler and a kubelet have updated it,
// about 4 KB of JSON.
func pod(b *testing.B, n int) *unstructured.Unstructured {
	b.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "pod.yaml"))
	require.NoError(b, err)
	u := &unstructured.Unstructured{}
	require.NoError(b, yaml.Unmarshal(data, &u.Object))
	u.SetNamespace(fmt.Sprint("ns-", n%100))
	u.SetName(fmt.Sprint("pod-", n))
	return u
}

// BenchmarkListOfPods measures the cost of a list of 10,000 pods: without changes, and with a
// change of one pod before each list.
func BenchmarkListOfPods(b *testing.B) {
	e := newEncoder(podResource, nil)
	base := newList(e)
	s := &store{
		encoder: e,
		base:    base,
		changes: map[identity][]byte{},
		clock:   clock.RealClock{},
		fail:    func(error) {},
		filled:  func() {},
		resize:  func(int64) {},
		fits:    func(int64) bool { return true },
	}
	var pods []any
	for n := range 10_000 {
		encoded, err := e.encode(pod(b, n))
		require.NoError(b, err)
		pods = append(pods, &encodedObject{json: encoded})
	}
	require.NoError(b, s.Replace(pods, ""))
	list := func(b *testing.B) {
		_, err := s.list(b.Context())
		require.NoError(b, err)
	}
	b.Run("unchanged", func(b *testing.B) {
		b.SetBytes(int64(len(s.base.response)))
		for b.Loop() {
			list(b)
		}
	})
	b.Run("changing", func(b *testing.B) {
		changed := pods[0].(*encodedObject)
		var longest time.Duration
		for b.Loop() {
			require.NoError(b, s.Update(changed))
			begin := time.Now()
			list(b)
			longest = max(longest, time.Since(begin))
		}
		b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
	})
	b.Run("put-together", func(b *testing.B) {
		b.SetBytes(int64(len(s.base.response)))
		for b.Loop() {
			_, err := s.base.with(map[identity][]byte{
				s.identify(pods[0].(*encodedObject).json): pods[0].(*encodedObject).json,
			})
			require.NoError(b, err)
		}
	})
	b.Run("namespace", func(b *testing.B) {
		for b.Loop() {
			s.base.inNamespace("ns-7")
		}
	})
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			u := pod(b, 1)
			b.StartTimer()
			_, err := e.encode(u)
			require.NoError(b, err)
		}
	})
	b.ReportMetric(float64(s.held())/float64(len(s.base.response)), "ratio")
}
