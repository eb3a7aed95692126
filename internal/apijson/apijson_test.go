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

package apijson

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/resource"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
)

// requireSame compares the output, or the error, with that of encoding/json. Fast says that the
// encoder must not leave the whole value to encoding/json.
func requireSame(t require.TestingT, v any, fast bool) {
	want, wantErr := json.Marshal(v)
	got, err := Append([]byte("before"), v)
	if wantErr != nil {
		require.EqualError(t, err, wantErr.Error())
		require.Equal(t, reflect.TypeOf(wantErr), reflect.TypeOf(err))
		require.Equal(t, "before", string(got))
		return
	}
	require.NoError(t, err)
	require.Equal(t, "before"+string(want), string(got))
	e := new(encoder)
	ok := e.any(v)
	if fast {
		require.True(t, ok, "%T", v)
	}
	if ok {
		require.Equal(t, string(want), string(e.out))
		require.Empty(t, e.keys)
		require.Zero(t, e.depth)
	}
}

// samplePod returns a Pod of 9 KB.
func samplePod(t testing.TB) *corev1.Pod {
	data, err := os.ReadFile("../../test/policies/testdata/pod-create-9k.json")
	require.NoError(t, err)
	var request admissionv1.AdmissionRequest
	require.NoError(t, json.Unmarshal(data, &request))
	pod := &corev1.Pod{}
	require.NoError(t, json.Unmarshal(request.Object.Raw, pod))
	return pod
}

// Objects of all types that the apiserver knows come out as from encoding/json, filled at random
// and empty.
func TestTypesOfTheAPI(t *testing.T) {
	types := runtime.NewScheme()
	require.NoError(t, scheme.AddToScheme(types))
	filler := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(1), serializer.NewCodecFactory(types)) //nolint:gosec // no secret
	count := 0
	for kind := range types.AllKnownTypes() {
		if kind.Version == runtime.APIVersionInternal {
			continue
		}
		empty, err := types.New(kind)
		require.NoError(t, err)
		requireSame(t, empty, true)
		for range 20 {
			object, err := types.New(kind)
			require.NoError(t, err)
			filler.Fill(object)
			object.GetObjectKind().SetGroupVersionKind(kind)
			requireSame(t, object, true)
			requireSame(t, reflect.ValueOf(object).Elem().Interface(), false)
			custom, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
			if err == nil {
				requireSame(t, &unstructured.Unstructured{Object: custom}, true)
			}
		}
		count++
	}
	require.Greater(t, count, 500)
}

type (
	// self has MarshalJSON with a pointer receiver, and valued with a value receiver.
	self   struct{ json string }
	valued struct{ json string }
	// texted has MarshalText.
	texted struct{ text string }
	// failing cannot be encoded.
	failing struct{}
	byted   byte
	name    string
	inner   struct {
		A, B string `json:",omitempty"`
	}
	deeper struct {
		B string
	}
	hidden struct {
		Hidden string `json:"hidden"`
	}
	recursive struct {
		Name string                `json:"name"`
		Next *recursive            `json:"next,omitempty"`
		More []recursive           `json:"more,omitempty"`
		By   map[string]*recursive `json:"by,omitempty"`
	}
	zeroes struct{ N int }
	asked  struct {
		Zero   zeroes      `json:"zero,omitzero"`
		Plain  inner       `json:"plain,omitzero"`
		Time   metav1.Time `json:"time,omitempty,omitzero"`
		Number int         `json:"number,omitempty,omitzero"`
		Far    *zeroes     `json:"far,omitzero"`
	}
)

func (s *self) MarshalJSON() ([]byte, error)   { return []byte(s.json), nil }
func (s valued) MarshalJSON() ([]byte, error)  { return []byte(s.json), nil }
func (t *texted) MarshalText() ([]byte, error) { return []byte(t.text), nil }
func (failing) MarshalJSON() ([]byte, error)   { return nil, errors.New("it does not want to") }
func (b byted) MarshalText() ([]byte, error)   { return []byte{'<', byte(b)}, nil }
func (z *zeroes) IsZero() bool                 { return z == nil || z.N == 7 }
func cycle() any                               { m := map[string]any{}; m["m"] = m; return m }
func nested(depth int) (v any) {
	return nestedIn(depth, func(v any) any { return []any{v} })
}
func nestedIn(depth int, in func(any) any) (v any) {
	for range depth {
		v = in(v)
	}
	return v
}

// Values that no API type has, and values that are wrong, come out as from encoding/json too.
func TestPeculiarities(t *testing.T) {
	text, chain := "<text>", &recursive{Name: "end"}
	for range 2 * maxDepth {
		chain = &recursive{Name: "chain", Next: chain}
	}
	for name, v := range map[string]any{
		"nothing": nil, "nil pointer": (*inner)(nil),
		"nil custom resource":             (*unstructured.Unstructured)(nil),
		"custom resource without content": &unstructured.Unstructured{},
		"list of custom resources": &unstructured.UnstructuredList{
			Object: map[string]any{"kind": "L"},
			Items:  []unstructured.Unstructured{{Object: map[string]any{"a": "b"}}},
		},
		"own JSON": struct {
			P, Q *self
			V    self
		}{&self{` {"a" : "<&>` + "\u2028" + `" } `}, nil, self{"1"}},
		"own JSON, addressable": &struct {
			V self
			L []self
			M map[string]self
		}{self{"[ ]"}, []self{{"1e5"}}, map[string]self{"k": {"null"}}},
		"own JSON of a value": &struct {
			V    valued
			P, N *valued
			PP   **valued
			I    any
			J    json.Marshaler
		}{V: valued{"{}"}, P: &valued{"2"}, I: valued{"3"}, J: valued{"4"}},
		"own JSON that is none":    &struct{ V valued }{valued{`{"a":}`}},
		"own JSON twice":           &struct{ V valued }{valued{`1 2`}},
		"own JSON that ends":       &struct{ V valued }{valued{`"\u00`}},
		"own JSON with bad escape": &struct{ V valued }{valued{"\"\\u\x10\x10\x11\x12\""}},
		"own JSON that is empty":   &struct{ V valued }{},
		"own JSON, nested deeply": &struct {
			V valued
		}{valued{strings.Repeat("[", 2*maxDepth) + strings.Repeat("]", 2*maxDepth)}},
		"own JSON, nested too deeply": &struct {
			V valued
		}{valued{strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)}},
		"raw JSON": struct {
			R, N json.RawMessage
			P    *json.RawMessage
		}{R: json.RawMessage(`[ 1,"a" ]`)},
		"own text": &struct {
			V texted
			L []texted
			M map[string]texted
		}{texted{"<a>"}, []texted{{"b"}}, map[string]texted{"k": {"c"}}},
		"own failure": &struct{ V failing }{},
		"bytes": struct {
			B, N, E []byte
			A       [3]byte
			O       []byted
		}{[]byte("bytes"), nil, []byte{}, [3]byte{1, 2, 3}, []byted{1, 2}},
		"embedded": struct {
			inner
			Own string
		}{inner{A: "a"}, "o"},
		"embedded twice": struct {
			inner
			deeper
		}{inner{A: "a", B: "b"}, deeper{"c"}},
		"embedded pointer": struct {
			*inner
			C string
		}{nil, "c"},
		"embedded and hidden": struct {
			hidden
			hiddenToo hidden
		}{hidden{"<h>"}, hidden{"no"}},
		"embedded with a name": struct {
			inner `json:"named"`
		}{inner{A: "a"}},
		"embedded scalar": struct {
			name
			C string
		}{"n", "c"},
		"embedded time": struct{ metav1.Time }{metav1.Unix(1, 0)},
		"left out": struct {
			A string  `json:"-"`
			B string  `json:"-,"` //nolint:staticcheck // it is what is tried
			C *string `json:"c,omitempty"`
			D any     `json:",omitempty"`
			F float64 `json:"f,omitempty"`
			G [0]int  `json:"g,omitempty"`
		}{A: "a", B: "b"},
		"left out if zero": &asked{Zero: zeroes{7}, Far: &zeroes{7}},
		"left out if zero, but is not": asked{
			Zero:   zeroes{0},
			Plain:  inner{A: "a"},
			Time:   metav1.Unix(1, 0),
			Number: 1,
		},
		"scalars as strings": struct {
			N int    `json:"n,string"`
			S string `json:"s,string"`
		}{1, "<s>"},
		"names": struct {
			A int `json:"<a>&"`
			B int `json:"\"b\""` //nolint:staticcheck // it is what is tried
			C int `json:"ü"`
		}{},
		"numbers": []any{
			int(-1),
			int8(1),
			uint8(2),
			uint64(math.MaxUint64),
			int64(math.MinInt64),
			float32(0.1),
			1e20,
			1e21,
			1e-6,
			1e-7,
			-1.5e-9,
			float32(1e-7),
			float32(1e21),
			math.MaxFloat64,
			math.SmallestNonzeroFloat64,
			math.Copysign(0, -1),
			json.Number("12"),
			json.Number(""),
		},
		"not a number": map[string]any{"n": math.NaN()},
		"infinite":     &struct{ F float32 }{float32(math.Inf(-1))},
		"no number":    json.Number("1x"),
		"maps": []any{
			map[name]int{"b": 1, "a": 2},
			map[int]string{2: "b", 10: "a"},
			map[string]string(nil),
			map[string]map[string]inner{"x": {"z": {}, "y": {A: "a"}}},
			map[string][]byte{"n": nil, "b": []byte("b")},
			map[bool]int(nil),
		},
		"function": struct{ F func() }{func() {}},
		"nil function": struct {
			F func() `json:",omitempty"`
		}{},
		"complex number": map[string]any{"c": complex(1, 2)},
		"pointers": func() any {
			p := &text
			return struct {
				P **string
				I any
			}{&p, &p}
		}(),
		"recursive": &recursive{
			Name: "a",
			Next: &recursive{Name: "b"},
			More: []recursive{{Name: "c"}},
			By:   map[string]*recursive{"n": nil, "d": {Name: "d"}},
		},
		"cycle": cycle(), "lists nested deeply": nested(5 * maxDepth), "chain": chain,
		"objects nested deeply": nestedIn(5*maxDepth, func(v any) any {
			return map[string]any{"v": v}
		}),
		"times": []metav1.Time{{}, metav1.Unix(1, 5),
			metav1.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC),
			metav1.Date(-5, 1, 1, 0, 0, 0, 0, time.FixedZone("z", 3600))},
		"micro times": map[string]*metav1.MicroTime{
			"n": nil,
			"z": {},
			"t": new(metav1.NewMicroTime(time.Unix(1, 5))),
		},
		"integers or strings": []intstr.IntOrString{
			intstr.FromInt32(5),
			intstr.FromString("<5%>"),
		},
		"neither integer nor string": &struct{ V intstr.IntOrString }{intstr.IntOrString{Type: 7}},
		"quantities": []resource.Quantity{
			resource.MustParse("1.5Gi"),
			resource.MustParse("1e3"),
			resource.MustParse("0.0"),
			resource.MustParse("12345678901234567890123"),
			{},
			*resource.NewQuantity(5, "odd"),
		},
		"extensions": []runtime.RawExtension{{}, {Raw: []byte(`{"b": "<" }`)},
			{Raw: []byte(`no`)},
			{Object: &unstructured.Unstructured{Object: map[string]any{"a": "b"}}}},
	} {
		t.Run(name, func(t *testing.T) { requireSame(t, v, false) })
	}
	requireSame(t, &schema.GroupVersionKind{Group: "g"}, false)
}

// A quantity changes itself when its text is read, while others may read it.
func TestValuesAreNotChanged(t *testing.T) {
	quantity := resource.NewQuantity(5<<30, resource.BinarySI)
	before := *quantity
	_, err := Append(nil, &struct{ Q *resource.Quantity }{quantity})
	require.NoError(t, err)
	require.Equal(t, before, *quantity)
}

// With enough room in dst, nothing is allocated except by quantities without a cached text.
func TestAllocations(t *testing.T) {
	pod := samplePod(t)
	for n := range pod.Spec.Containers {
		pod.Spec.Containers[n].Resources.Limits, pod.Spec.Containers[n].Resources.Requests = nil,
			nil
	}
	for n := range pod.Spec.InitContainers {
		pod.Spec.InitContainers[n].Resources.Limits, pod.Spec.InitContainers[n].Resources.Requests =
			nil, nil
	}
	pod.Spec.Volumes = nil
	custom, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	require.NoError(t, err)
	requireSame(t, pod, true)
	for _, object := range []any{pod, &unstructured.Unstructured{Object: custom}} {
		out, err := Append(nil, object)
		require.NoError(t, err)
		// Garbage collection may drop the kept encoder, and the race detector does so at random.
		allocations := testing.AllocsPerRun(100, func() { out, _ = Append(out[:0], object) })
		require.Less(t, allocations, 4.0, "%T", object)
	}
}

// Whatever a value holds, it comes out as from encoding/json.
func FuzzAppend(f *testing.F) {
	f.Add([]byte(`{"a":[1,"<\u2028>",{"b":null,"c":1.5e-9,"a":true}]}`), "text", 1e21)
	f.Add([]byte(" [ ] "), "\xff\xe2\x80\xa8\x00\x7f", math.Copysign(0, -1))
	f.Add([]byte("\"\\u\x10\x10\x11\x12\""), "\ud7ff\\\"&", math.Inf(1))
	f.Add([]byte("{\"a\" :\t1 , \"\\\"\\u00e9\":[-0.0E+1]}"), "", math.NaN())
	f.Add([]byte(strings.Repeat("[", 600)), "\b\f\n\r\t\x1f", 1e-7)
	f.Fuzz(func(t *testing.T, raw []byte, text string, number float64) {
		var decoded any
		_ = json.Unmarshal(raw, &decoded)
		fields := new(metav1.FieldsV1)
		fields.SetRawBytes(raw)
		for _, v := range []any{
			decoded, text, number, float32(number), json.RawMessage(raw), fields,
			&runtime.RawExtension{Raw: raw}, &valued{string(raw)},
			map[string]any{text: number, string(raw): text, "": decoded},
			map[string]string{text: string(raw), string(raw): text},
			&unstructured.Unstructured{Object: map[string]any{text: []any{decoded, text, number}}},
			&metav1.ObjectMeta{
				Name:          text,
				Labels:        map[string]string{text: text},
				ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: fields}},
			},
			&struct{ V intstr.IntOrString }{intstr.FromString(text)}, metav1.Unix(int64(number), 0),
		} {
			requireSame(t, v, false)
		}
		if q, err := resource.ParseQuantity(text); err == nil {
			requireSame(t, &q, false)
		}
	})
}
