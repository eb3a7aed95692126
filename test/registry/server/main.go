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

// Command server is a registry for tests. It uses the handlers of the distribution project, which
// keep the content in a directory, or those of go-containerregistry, which support referrers
// differently. It has its own module, so that importers of the library do not get a registry's
// dependencies.
//
// It prints the address that it listens on as its only line of output. It exits when its standard
// input closes, so that it cannot outlive the test that started it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"

	// These register themselves.
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "address to listen on")
	root := flag.String("root", "", "existing directory for the content")
	certificate := flag.String("certificate", "", "certificate in PEM; empty means plain HTTP")
	key := flag.String("key", "", "key of the certificate in PEM")
	inMemory := flag.Bool("in-memory", false,
		"use go-containerregistry, which keeps the content in memory and has no users")
	referrers := flag.Bool("referrers", false, "serve the referrers API; only with -in-memory")
	user := flag.String("user", "",
		"name:password of the only user; empty means that nobody needs credentials")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(),
			"Serves a registry for tests until its standard input closes. To keep it open: sleep 1h | registry -root DIRECTORY.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *root == "" {
		log.Fatal("-root is required")
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // blocks until the test ends
		os.Exit(0)
	}()
	logrus.SetOutput(io.Discard)
	if *inMemory {
		quiet := ggcr.Logger(log.New(io.Discard, "", 0))
		if err := serve(*address, *certificate, *key,
			ggcr.New(quiet, ggcr.WithReferrersSupport(*referrers))); err != nil {
			log.Fatal(err)
		}
	}
	c := config(filepath.Join(*root, "content"))
	if *user != "" {
		users := filepath.Join(*root, "htpasswd")
		if err := writeUser(users, *user); err != nil {
			log.Fatal(err)
		}
		c.Auth = configuration.Auth{
			"htpasswd": configuration.Parameters{"realm": "tests", "path": users},
		}
	}
	err := serve(*address, *certificate, *key, handlers.NewApp(context.Background(), c))
	if err != nil {
		log.Fatal(err)
	}
}

func config(root string) *configuration.Configuration {
	c := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem":  configuration.Parameters{"rootdirectory": root},
		"delete":      configuration.Parameters{"enabled": true},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	c.Catalog.MaxEntries = 1000
	c.HTTP.Secret = "for tests"
	return c
}

func writeUser(path, user string) error {
	name, password, _ := strings.Cut(user, ":")
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(name+":"+string(hash)+"\n"), 0o600)
}

func serve(address, certificate, key string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	fmt.Println(listener.Addr())
	if certificate == "" {
		return server.Serve(listener)
	}
	return server.ServeTLS(listener, certificate, key)
}
