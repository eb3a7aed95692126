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

// Command dispatch measures what a request costs that no policy wants, and what
// one costs that a policy evaluates, in process and behind a webhook.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	modulePath = "test/policies/pod-privileged/policy.wasm"
	reviewPath = "test/policies/testdata/pod-create-9k.json"

	rounds, batch = 15, 100
)

func main() {
	if err := run(klog.NewContext(context.Background(), logr.Discard())); err != nil {
		fmt.Fprintln(os.Stderr, "dispatch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	directory, err := os.MkdirTemp("", "bench-dispatch-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }() // in the system's directory for temporary files
	wasm, err := os.ReadFile(modulePath)
	if err != nil {
		return fmt.Errorf("run this from the root of the repository: %w", err)
	}
	if err := os.WriteFile(directory+"/policy.wasm", wasm, 0o600); err != nil {
		return err
	}
	e, err := engine.New(engine.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := measureNoMatch(ctx, e, directory); err != nil {
		return err
	}
	return measurePod(ctx, e, directory)
}

// measureNoMatch measures an update of a Lease beside policies that want other
// things.
func measureNoMatch(ctx context.Context, e *engine.Engine, directory string) error {
	const policies = 22
	wanted := []string{"pods", "deployments", "services", "ingresses", "configmaps", "secrets", "namespaces"}
	var specs []wasmadmission.Policy
	for n := range policies {
		validating, mutating := spec(fmt.Sprintf("validating-%d", n), directory, wanted[n%len(wanted)]), spec(fmt.Sprintf("mutating-%d", n), directory, wanted[n%len(wanted)])
		mutating.Mutating = true
		specs = append(specs, validating, mutating)
	}
	set, err := load(ctx, e, specs...)
	if err != nil {
		return err
	}
	defer set.Close()
	dispatcher, err := newDispatcher()
	if err != nil {
		return err
	}
	defer dispatcher.Close()
	dispatcher.Use(set)
	lease := &coordinationv1.Lease{TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"}}
	attr := admission.NewAttributesRecord(lease, lease, lease.GroupVersionKind(), "kube-node-lease", "node-1",
		coordinationv1.SchemeGroupVersion.WithResource("leases"), "", admission.Update, &metav1.UpdateOptions{}, false, &user.DefaultInfo{Name: "system:node:node-1"})
	interfaces := objectInterfaces()
	for prefix, phase := range map[string]func(context.Context, admission.Attributes, admission.ObjectInterfaces) error{
		"no_match": dispatcher.Validate, "no_match_admit": dispatcher.Admit,
	} {
		result := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := phase(ctx, attr, interfaces); err != nil {
					b.Fatal(err)
				}
			}
		})
		figure.Print(prefix+"_ns", float64(result.NsPerOp()), "ns")
		figure.Print(prefix+"_allocs", float64(result.AllocsPerOp()), "allocations")
	}
	return nil
}

// measurePod measures the creation of a Pod that one policy evaluates.
func measurePod(ctx context.Context, e *engine.Engine, directory string) error {
	set, err := load(ctx, e, spec("pods", directory, "pods"))
	if err != nil {
		return err
	}
	defer set.Close()
	dispatcher, err := newDispatcher()
	if err != nil {
		return err
	}
	defer dispatcher.Close()
	dispatcher.Use(set)
	hook, err := newHook(ctx, set.Policies()[0])
	if err != nil {
		return err
	}
	defer hook.close()
	attr, err := podAttributes()
	if err != nil {
		return err
	}
	interfaces := objectInterfaces()
	cpu, wall, err := figure.Interleave(rounds, batch,
		func() error { return dispatcher.Validate(ctx, attr, interfaces) },
		func() error { return hook.plugin.Validate(ctx, attr, interfaces) })
	if err != nil {
		return err
	}
	figure.Print("rust_pod_cpu_us", float64(cpu[0].Nanoseconds())/1e3, "us")
	figure.Print("webhook_pod_cpu_us", float64(cpu[1].Nanoseconds())/1e3, "us")
	figure.Print("ratio_rust_to_webhook", float64(cpu[0])/float64(cpu[1]), "ratio")
	figure.Print("rust_pod_wall_us", float64(wall[0].Nanoseconds())/1e3, "us")
	figure.Print("webhook_pod_wall_us", float64(wall[1].Nanoseconds())/1e3, "us")
	return nil
}

func spec(name, directory, resource string) wasmadmission.Policy {
	return wasmadmission.Policy{
		Name:          name,
		Module:        "file://" + directory + "/policy.wasm",
		Settings:      runtime.RawExtension{Raw: []byte("{}")},
		FailurePolicy: admissionregistrationv1.Fail,
		MatchPolicy:   admissionregistrationv1.Equivalent,
		Mode:          wasmadmission.ModeProtect,
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{"", "apps", "networking.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{resource}},
		}},
	}
}

func load(ctx context.Context, e *engine.Engine, policies ...wasmadmission.Policy) (*policyset.Set, error) {
	config := &wasmadmission.WasmAdmissionConfiguration{Policies: policies, Limits: limits()}
	set, errs := (&policyset.Loader{Engine: e}).Load(ctx, config)
	return set, errs.ToAggregate()
}

func newDispatcher() (*dispatch.Dispatcher, error) {
	client := fake.NewClientset()
	return dispatch.New(dispatch.Config{
		Client:     client,
		Informers:  informers.NewSharedInformerFactory(client, 0),
		Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(),
	})
}

// objectInterfaces are those of a server that serves events in two groups.
func objectInterfaces() admission.ObjectInterfaces {
	return admission.NewObjectInterfacesFromScheme(scheme.Scheme)
}

func podAttributes() (admission.Attributes, error) {
	data, err := os.ReadFile(reviewPath)
	if err != nil {
		return nil, err
	}
	var request admissionv1.AdmissionRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	pod := &corev1.Pod{}
	if err := json.Unmarshal(request.Object.Raw, pod); err != nil {
		return nil, err
	}
	if pod.Name == "" && pod.GenerateName == "" {
		return nil, errors.New("the review has no pod")
	}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	return admission.NewAttributesRecord(pod, nil, pod.GroupVersionKind(), pod.Namespace, pod.Name,
		schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Create, &metav1.CreateOptions{}, false,
		&user.DefaultInfo{Name: request.UserInfo.Username, Groups: request.UserInfo.Groups}), nil
}

// limits are those of a configuration that sets none.
func limits() wasmadmission.Limits {
	external := &v1alpha1.WasmAdmissionConfiguration{}
	v1alpha1.SetObjectDefaults_WasmAdmissionConfiguration(external)
	var internal wasmadmission.Limits
	if err := v1alpha1.Convert_v1alpha1_Limits_To_wasmadmission_Limits(&external.Limits, &internal, nil); err != nil {
		panic(err) // defaults convert
	}
	return internal
}
