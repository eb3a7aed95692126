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

// Command trillian is the log in which Rekor 1 keeps its entries. It runs Trillian's log server and
// sequencer with in-memory storage, because Trillian's own programs need a database. It has its own
// module, so that importers of the library do not get Trillian's dependencies.
//
// It serves on loopback until it is killed. All entries are then lost.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	trillianlog "github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"google.golang.org/grpc"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	log.Fatal(serve(context.Background(), *address))
}

func serve(ctx context.Context, address string) error {
	storage := memory.NewTreeStorage()
	registry := extension.Registry{
		AdminStorage: memory.NewAdminStorage(storage),
		LogStorage:   memory.NewLogStorage(storage, nil), QuotaManager: quota.Noop(),
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(s, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(s, server.NewTrillianLogRPCServer(registry, clock.System))
	sequencer := trillianlog.NewOperationManager(trillianlog.OperationInfo{
		Registry: registry, BatchSize: 50, NumWorkers: 1, RunInterval: 50 * time.Millisecond,
		TimeSource: clock.System,
	}, trillianlog.NewSequencerManager(registry, 0))
	go sequencer.OperationLoop(ctx)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return errors.Join(s.Serve(listener), errors.New("it ended"))
}
