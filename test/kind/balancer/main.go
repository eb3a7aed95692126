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

// Command balancer replaces Envoy in front of the control planes of a kind cluster, because the
// test cannot pull Envoy's image. It reads the address to listen on and the servers from the files
// that kind writes for Envoy. It forwards each connection to the next server that accepts it.
package main

import (
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	// directory is the directory that kind writes its files to.
	directory = "/home/envoy"
	// patience is the time that a server has to accept a connection before the balancer tries the
	// next one.
	patience = 250 * time.Millisecond
	// period is the time between two reads of the files.
	period = time.Second
)

// socket is an address in Envoy's format.
type socket struct {
	SocketAddress struct {
		Address   string `json:"address"`
		PortValue int    `json:"port_value"`
	} `json:"socket_address"`
}

func (s socket) String() string {
	return net.JoinHostPort(s.SocketAddress.Address, strconv.Itoa(s.SocketAddress.PortValue))
}

// resources holds the fields of both of Envoy's files that are used.
type resources struct {
	Resources []struct {
		Address        socket `json:"address"`
		LoadAssignment struct {
			Endpoints []struct {
				LBEndpoints []struct {
					Endpoint struct {
						Address socket `json:"address"`
					} `json:"endpoint"`
				} `json:"lb_endpoints"`
			} `json:"endpoints"`
		} `json:"load_assignment"`
	} `json:"resources"`
}

// read returns the address to listen on and the servers' addresses.
func read() (listen string, servers []string) {
	for _, name := range []string{"lds.yaml", "cds.yaml"} {
		var file resources
		text, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil || yaml.Unmarshal(text, &file) != nil {
			return "", nil
		}
		for _, resource := range file.Resources {
			if name == "lds.yaml" {
				listen = resource.Address.String()
			}
			for _, group := range resource.LoadAssignment.Endpoints {
				for _, each := range group.LBEndpoints {
					servers = append(servers, each.Endpoint.Address.String())
				}
			}
		}
	}
	return listen, servers
}

func main() {
	var listen string
	var servers []string
	for listen == "" || len(servers) == 0 { // kind writes the files once the nodes exist
		time.Sleep(period)
		listen, servers = read()
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("forwarding %s to %v", listen, servers)
	var next atomic.Uint64
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go forward(client, servers, next.Add(1))
	}
}

// forward copies data between a client and a server, until one of them closes the connection.
func forward(client net.Conn, servers []string, first uint64) {
	defer func() { _ = client.Close() }()
	for n := range uint64(len(servers)) {
		server, err := net.DialTimeout("tcp", servers[(first+n)%uint64(len(servers))], patience)
		if err != nil {
			continue
		}
		defer func() { _ = server.Close() }()
		done := make(chan struct{}, 2)
		pass := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			done <- struct{}{}
		}
		go pass(server, client)
		go pass(client, server)
		<-done
		return
	}
	log.Printf("no server accepts a connection: %v", servers)
}
