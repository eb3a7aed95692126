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

package chaos

import (
	"bytes"
	"os"
	"sync"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

// latest makes clients for the server that was started last. It finds the server by its kubeconfig,
// which exists before the server listens. So the writers' requests are among the first that the
// server answers.
type latest struct {
	kubeconfig string

	mu      sync.Mutex
	current []byte // the kubeconfig that the client was made from
	client  dynamic.Interface
}

func (l *latest) get(int) (dynamic.Interface, error) {
	raw, err := os.ReadFile(l.kubeconfig)
	if err != nil {
		return nil, err // no server was started yet
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.Equal(raw, l.current) {
		return l.client, nil
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(raw)
	if err != nil {
		return nil, err // the file is still being written
	}
	config.QPS = -1
	config.Timeout = hammer.AnswerTimeout
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	l.current, l.client = raw, client
	return client, nil
}
