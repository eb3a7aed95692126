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

// Package kind tests real kubeadm clusters, whose nodes are containers created by kind
// (https://kind.sigs.k8s.io). The server comes from `make image`, and is installed as
// deploy/kubeadm says.
//
// The test needs root on Debian or a derivative, and the Go proxy. The scripts in bootstrap build
// or unpack all other parts of a cluster, and keep them in .cache/kind. Everything runs in its own
// namespaces and ends with the test.
package kind
