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

// Package dev runs a complete control plane with one API server in a process, for tests and for
// trying out policies: an etcd, certificates, a kubeconfig and the server. It is not for
// production: it has one etcd member, no fsync, and one administrator.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/kube-apiserver/dev/etcd"
)

// Serve runs an API server with the given flags on listener until ctx ends.
type Serve func(ctx context.Context, flags []string, listener net.Listener) error

// options are the flags of the command.
type options struct {
	dir            string
	policies       string
	manifests      string
	breakGlass     string
	etcd           string
	port           uint16
	exitOnStdinEOF bool
}

// NewCommand returns the command `kube-apiserver dev`, which calls serve. It serves until its
// context ends.
func NewCommand(serve Serve) *cobra.Command {
	opts := options{}
	cmd := &cobra.Command{
		Use:   "kube-apiserver dev [flags] [-- flags of kube-apiserver]",
		Short: "Run the API server with its own etcd, certificates and kubeconfig",
		Long: `Run the API server with its own etcd, certificates and kubeconfig.

All state is kept in one directory, and only the loopback interface is
listened on. Once the server answers, one line is written to standard output:

  KUBECONFIG=/path/to/a/kubeconfig

The user in it is an administrator (group system:masters). The server's log goes
to standard error. SIGINT and SIGTERM end it, a second one at once.

With --policies, every file NAME.wasm of a directory is enforced as a policy
called NAME. A file NAME.yaml beside it holds other fields of the policy, such as
settings and rules. They are read once.

With --policy-directory, the Kubewarden manifests in a directory are enforced, and
watched: what is edited, added or removed takes effect at once. A change that is
bad is refused, and the log and /readyz/wasm-admission-policies say why. The
modules that the manifests name, as file:// and an absolute path, are watched too.

Without either no policies are configured.

What follows -- goes to the API server and overrides what dev sets.

There are no controllers, no scheduler and no nodes: objects are stored, and
pods stay pending. The ServiceAccount admission plugin is off, as nothing
creates the service accounts that it asks for; privileged pods are allowed, so
that it is policies that refuse them. The state survives the death of the
process, but not of the machine: etcd does not wait for the disk.`,
		Example: `  kube-apiserver dev --policies bin/policies
  kube-apiserver dev --policy-directory ~/policies.d
  kube-apiserver dev --dir /tmp/cluster -- \
    --feature-gates=WasmAdmission=true \
    --admission-control-config-file=/etc/kubernetes/admission.yaml`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args: func(cmd *cobra.Command, args []string) error {
			if own := cmd.ArgsLenAtDash(); len(args) > 0 && own != 0 {
				return fmt.Errorf("unexpected argument %q: flags of kube-apiserver follow --",
					args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.breakGlass != "" && opts.policies == "" && opts.manifests == "" {
				return errors.New("--break-glass-file requires --policies or --policy-directory")
			}
			return run(cmd.Context(), opts, args, serve, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.dir, "dir", "",
		"directory for all state, created if missing and reused if it exists (default: a new one, removed at exit)")
	flags.StringVar(&opts.policies, "policies", "", "directory of policies to enforce")
	flags.StringVar(&opts.manifests, "policy-directory", "",
		"directory of Kubewarden manifests to enforce, which is watched")
	flags.StringVar(&opts.breakGlass, "break-glass-file", "",
		"watched file that puts policies into monitor mode and need not exist; requires --policies or --policy-directory")
	flags.StringVar(&opts.etcd, "etcd", "",
		"URL of an existing etcd to use, with http://, https:// or unix://")
	flags.Uint16Var(&opts.port, "port", 0, "port to serve on, 0 for a free one")
	flags.BoolVar(&opts.exitOnStdinEOF, "exit-on-stdin-eof", false,
		"also exit at the end of standard input, so as not to outlive the parent program")
	return cmd
}

// run starts etcd and the server, announces the kubeconfig, and returns after the server and then
// etcd have ended.
func run(ctx context.Context, opts options, flags []string, serve Serve, stdin io.Reader,
	stdout io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if opts.exitOnStdinEOF {
		go func() {
			_, _ = io.Copy(io.Discard, stdin)
			cancel()
		}()
	}

	state, err := openState(opts.dir)
	if err != nil {
		return err
	}
	defer state.endOnSignals(cancel)()
	defer func() { err = errors.Join(err, state.close()) }()

	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(opts.port))))
	if err != nil {
		return fmt.Errorf("listening for the API server: %w", err)
	}
	// The server also closes it, but may fail before that.
	defer func() { _ = listener.Close() }()

	files, err := writeCredentials(state.dir, listener.Addr())
	if err != nil {
		return err
	}
	if opts.policies != "" || opts.manifests != "" {
		enforce, err := policyFlags(&opts, state.dir)
		if err != nil {
			return err
		}
		flags = append(enforce, flags...)
	}
	if opts.etcd == "" {
		store, err := etcd.Start(ctx, filepath.Join(state.dir, "etcd"))
		if err != nil {
			return err
		}
		defer store.Close()
		opts.etcd = store.URL
	}

	go announce(ctx, files.kubeconfig, stdout, os.Stderr)
	return serve(ctx, append(serverFlags(files, opts.etcd, listener.Addr()), flags...), listener)
}

// serverFlags returns the flags that dev passes to the server.
func serverFlags(files *credentials, etcdURL string, addr net.Addr) []string {
	return []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(addr.(*net.TCPAddr).Port),
		// A loopback address cannot be an endpoint of the service kubernetes.
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file=" + files.servingCert,
		"--tls-private-key-file=" + files.servingKey,
		"--client-ca-file=" + files.ca,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + files.serviceAccountKey,
		"--service-account-signing-key-file=" + files.serviceAccountKey,
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		"--disable-admission-plugins=ServiceAccount",
	}
}
