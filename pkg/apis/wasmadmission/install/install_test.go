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

package install

import (
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
	apifuzzer "k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/apitesting/roundtrip"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/fuzzer"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
)

// Configuration files have no protobuf form, so this round trip omits it.
func TestRoundTrip(t *testing.T) {
	scheme := runtime.NewScheme()
	Install(scheme)
	codecs := serializer.NewCodecFactory(scheme)
	funcs := apifuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, fuzzer.Funcs)
	filler := apifuzzer.FuzzerFor(funcs, rand.NewSource(rand.Int63()), codecs)
	roundtrip.RoundTripTypesWithoutProtobuf(t, scheme, codecs, filler, nil)
}

func TestInstall(t *testing.T) {
	scheme := runtime.NewScheme()
	Install(scheme)
	require.Equal(t, wasmadmission.GroupName, v1alpha1.GroupName)
	require.Equal(t, []schema.GroupVersion{v1alpha1.SchemeGroupVersion},
		scheme.PrioritizedVersionsForGroup(wasmadmission.GroupName))
	require.True(t,
		scheme.Recognizes(v1alpha1.SchemeGroupVersion.WithKind("WasmAdmissionConfiguration")))
	require.True(t,
		scheme.Recognizes(wasmadmission.SchemeGroupVersion.WithKind("WasmAdmissionConfiguration")))
}
