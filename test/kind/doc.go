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

// Package kind has the test of clusters as users have them: kubeadm's, in nodes that are
// containers, made by kind (https://kind.sigs.k8s.io). The server comes as `make image`
// makes it and is put in as deploy/kubeadm says.
//
// It needs root on a Debian or what is made of one, and the Go proxy: what else a cluster
// consists of is built or unpacked by the scripts in bootstrap, and kept in .cache/kind.
// Everything runs in namespaces of its own and ends with the test.
package kind
