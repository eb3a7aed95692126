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

package dev

import (
	"context"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	pollInterval = 50 * time.Millisecond
	// namespaceTimeout bounds how long the announcement waits for the namespace default, because a
	// policy may refuse it.
	namespaceTimeout = 5 * time.Second
)

// announce writes the line KUBECONFIG=path to stdout once the server of that kubeconfig is ready
// and has created the namespace default. Without that namespace, users' first commands would fail.
// It gives up when ctx ends. It reports any other obstacle on stderr.
func announce(ctx context.Context, kubeconfig string, stdout, stderr io.Writer) {
	client, err := newClient(kubeconfig)
	if err != nil {
		fmt.Fprintf(stderr, "kube-apiserver dev: cannot tell when the server is ready: %v\n", err)
		return
	}
	err = wait.PollUntilContextCancel(ctx, pollInterval, true,
		func(ctx context.Context) (bool, error) {
			return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
		})
	if err != nil {
		return // the server is stopping
	}
	err = wait.PollUntilContextTimeout(ctx, pollInterval, namespaceTimeout, true,
		func(ctx context.Context) (bool, error) {
			_, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault,
				metav1.GetOptions{})
			return err == nil, nil
		})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		fmt.Fprintf(stderr,
			"kube-apiserver dev: the server is ready, but has no namespace default after %s\n",
			namespaceTimeout)
	}
	fmt.Fprintf(stdout, "KUBECONFIG=%s\n", kubeconfig)
}

func newClient(kubeconfig string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "kube-apiserver-dev"
	config.QPS = -1 // the polls are already paced
	return kubernetes.NewForConfig(config)
}
