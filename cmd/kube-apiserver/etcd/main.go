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

// Command etcd runs the etcd of `kube-apiserver dev` in a separate process, so that a test can
// disconnect a server from it. It writes its URL to standard output, and ends when its standard
// input does.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/wasm-admission/wasm-admission/cmd/kube-apiserver/dev/etcd"
)

func main() {
	dir := flag.String("dir", "", "directory of the data")
	flag.Parse()
	member, err := etcd.Start(context.Background(), *dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer member.Close()
	fmt.Printf("ETCD=%s\n", member.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}
