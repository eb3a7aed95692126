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

package ha

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// token is the administrator's token.
const token = "chaos"

// node is an etcd member and a kube-apiserver that only uses this member, as in kubeadm clusters.
// Each node has its own network and host name. Servers with the same host name would share an
// identity.
type node struct {
	name, address string
	cluster       *cluster
	etcd, server  *harness.Program
	config        *rest.Config
	dynamic       dynamic.Interface
	// The clock offset of the next server, and whether it may serve the last good set after a
	// restart.
	clockOffset  time.Duration
	keepLastGood bool
}

func (c *cluster) newNode(t *testing.T, number int) *node {
	n := &node{name: fmt.Sprintf("node%d", number), address: address(number), cluster: c}
	for _, directory := range []string{"etcd", "certificates", "modules"} {
		require.NoError(t, os.MkdirAll(n.path(directory), 0o700))
	}
	n.config = &rest.Config{
		Host: "https://" + n.address + ":6443", BearerToken: token, QPS: -1,
		Timeout: hammer.AnswerTimeout,
		// The server's certificate is self-signed.
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}
	n.dynamic = dynamic.NewForConfigOrDie(n.config)
	return n
}

func (n *node) path(names ...string) string {
	return filepath.Join(append([]string{scratch, n.name}, names...)...)
}

// here is the path under which programs see their node's own files. Each program has its own
// mounts, so that all servers have the same configuration.
const here = scratch + "/here"

// start starts a program in the node's namespaces.
func (n *node) start(t *testing.T, log string, command ...string) *harness.Program {
	t.Helper()
	program, err := harness.StartProgram(n.path(log), append([]string{
		"ip", "netns", "exec", n.name, "unshare", "--uts",
		"sh", "-c", `echo "$0" > /proc/sys/kernel/hostname && mount --bind "` + n.path() + `" "` +
			here + `" && exec "$@"`, n.name,
	}, command...)...)
	require.NoError(t, err)
	return program
}

func (n *node) startEtcd(t *testing.T) {
	t.Helper()
	binary, err := harness.Built("etcd-member", "etcd-member")
	require.NoError(t, err)
	var members []string
	for _, member := range n.cluster.nodes {
		members = append(members, fmt.Sprintf("%s=http://%s:2380", member.name, member.address))
	}
	n.etcd = n.start(t, "etcd.log", binary,
		"--name="+n.name, "--data-dir="+here+"/etcd", "--log-level=warn",
		"--initial-cluster="+strings.Join(members, ","),
		"--listen-peer-urls=http://"+n.address+":2380", "--initial-advertise-peer-urls=http://"+
			n.address+":2380",
		"--listen-client-urls=http://"+n.address+":2379", "--advertise-client-urls=http://"+
			n.address+":2379",
		// Use long intervals, because the machine may be busy.
		"--heartbeat-interval=200", "--election-timeout=2000")
}

// startServer starts a server and returns at once. If off is set, the server enforces nothing.
func (n *node) startServer(t *testing.T, off bool) {
	t.Helper()
	binary, err := harness.ServerBinary()
	require.NoError(t, err)
	command := []string{"env", "WASM_ADMISSION_STATUS_INTERVAL=" + renewal.String(), binary}
	if n.clockOffset != 0 {
		binary, err = harness.Built("kube-apiserver-clock", "clock-server")
		require.NoError(t, err)
		command[2] = fmt.Sprintf("TEST_CLOCK_OFFSET=%d", int(n.clockOffset.Seconds()))
		command = append(command, binary)
	}
	if !off {
		require.NoError(t,
			os.WriteFile(n.path("admission.yaml"), []byte(n.admissionConfig()), 0o600))
		command = append(command, "--feature-gates=WasmAdmission=true",
			"--admission-control-config-file="+here+"/admission.yaml")
	}
	n.server = n.start(t, "kube-apiserver.log", append(command,
		"--etcd-servers=http://"+n.address+":2379",
		"--bind-address=0.0.0.0", "--advertise-address="+n.address,
		"--cert-dir="+here+"/certificates", "--token-auth-file="+scratch+"/tokens.csv",
		"--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+scratch+"/service-accounts.key",
		"--service-account-signing-key-file="+scratch+"/service-accounts.key",
		// No controller creates service accounts. Policies deny privileged Pods, so the server must
		// allow them.
		"--disable-admission-plugins=ServiceAccount", "--allow-privileged=true")...)
}

// requireReady waits until the server is ready.
func (n *node) requireReady(t *testing.T) {
	t.Helper()
	hammer.Eventually(t, n.name+" is ready", func() error {
		select {
		case <-n.server.Done():
			return fmt.Errorf("the server exited with %d", n.server.ExitCode())
		default:
		}
		return n.get(t, "/readyz")
	})
}

// get requests a path from the server, which must respond with code 200.
func (n *node) get(t *testing.T, path string) error {
	raw, err := kubernetes.NewForConfigOrDie(n.config).RESTClient().Get().AbsPath(path).
		DoRaw(t.Context())
	if err != nil {
		return fmt.Errorf("%s: %w: %s", n.name, err, raw)
	}
	return nil
}

// clock returns the time according to the server.
func (n *node) clock(t *testing.T) time.Time {
	t.Helper()
	transport, err := rest.TransportFor(n.config)
	require.NoError(t, err)
	answer, err := (&http.Client{
		Transport: transport,
		Timeout:   hammer.AnswerTimeout,
	}).Get(n.config.Host + "/livez")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	now, err := http.ParseTime(answer.Header.Get("Date"))
	require.NoError(t, err)
	return now
}

// requireNoStart checks that the server refuses to start, and returns the reason.
func (n *node) requireNoStart(t *testing.T) string {
	t.Helper()
	n.startServer(t, false)
	select {
	case <-n.server.Done():
	case <-time.After(hammer.Patience):
		require.FailNow(t, "the server does not exit", n.name)
	}
	require.Equal(t, 1, n.server.ExitCode())
	var problems []string
	for line := range strings.Lines(n.server.Logs()) {
		if problem, found := strings.CutPrefix(line, "kube-apiserver: WasmAdmission: "); found {
			problems = append(problems, strings.TrimSpace(problem))
		}
	}
	t.Logf("%s refuses to start: %q", n.name, problems)
	return strings.Join(problems, "\n")
}

func freeze(t *testing.T, p *harness.Program) {
	require.NoError(t, syscall.Kill(p.PID(), syscall.SIGSTOP))
}

func thaw(t *testing.T, p *harness.Program) {
	require.NoError(t, syscall.Kill(p.PID(), syscall.SIGCONT))
}

// leads reports whether the node's etcd says that it is the leader.
func (n *node) leads(t *testing.T) (bool, error) {
	client := http.Client{Timeout: time.Second}
	answer, err := client.Post("http://"+n.address+":2379/v3/maintenance/status",
		"application/json", bytes.NewReader([]byte("{}")))
	if err != nil {
		return false, err
	}
	defer func() { _ = answer.Body.Close() }() // the body was read
	var status struct {
		Header struct {
			Member string `json:"member_id"`
		}
		Leader string
	}
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil {
		return false, err
	}
	return status.Leader != "" && status.Leader == status.Header.Member, nil
}
