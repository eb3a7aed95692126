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
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/keyutil"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

// cluster is three nodes and the writers.
type cluster struct {
	nodes   [3]*node
	hammer  *hammer.Hammer
	watcher *watcher
}

// newCluster starts three etcd members, but no server.
func newCluster(t *testing.T) *cluster {
	c := &cluster{}
	require.NoError(t,
		os.WriteFile(scratch+"/tokens.csv", []byte(token+`,admin,admin,"system:masters"`+"\n"),
			0o600))
	_, _, err := keyutil.LoadOrGenerateKeyFile(scratch + "/service-accounts.key")
	require.NoError(t, err)
	for n := range c.nodes {
		c.nodes[n] = c.newNode(t, n+1)
		c.nodes[n].placePolicies(t)
	}
	c.connect(t)
	for _, n := range c.nodes {
		n.startEtcd(t)
	}
	c.hammer = &hammer.Hammer{
		// Each writer uses one server, so that the writers of other servers continue while one is
		// away.
		Client: func(writer int) (dynamic.Interface, error) {
			return c.nodes[writer%len(c.nodes)].dynamic, nil
		},
		Pace:         pace,
		AllowedEvery: 20,
	}
	c.watcher = newWatcher(c.nodes)
	return c
}

// others returns all nodes except one.
func (c *cluster) others(n *node) (others []*node) {
	for _, other := range c.nodes {
		if other != n {
			others = append(others, other)
		}
	}
	return others
}

// restart starts servers at the same time, and waits until they are ready.
func (c *cluster) restart(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		n.startServer(t, false)
	}
	c.requireReady(t, nodes...)
}

func (c *cluster) requireReady(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		n.requireReady(t)
	}
}

// requireUnharmed checks what must hold after each fault: no server shows a stored violating
// object, and no server denies everything.
func (c *cluster) requireUnharmed(t *testing.T) {
	t.Helper()
	c.requireAllowed(t, c.nodes[:]...)
	require.Zero(t, c.unenforced(t), "violating writes were admitted")
	c.hammer.RequireDenials(t)
}

// unenforced returns the number of violating writes that were admitted. It counts the stored
// objects that each server shows, and positive responses, and returns the largest number.
func (c *cluster) unenforced(t *testing.T) int {
	t.Helper()
	unenforced := int(c.hammer.Admitted())
	for _, n := range c.nodes {
		violating, err := hammer.Violating(t.Context(), n.dynamic)
		require.NoError(t, err, "reading everything from %s", n.name)
		unenforced = max(unenforced, violating)
	}
	return unenforced
}

// requireAllowed waits until servers admit complying writes of each kind.
func (c *cluster) requireAllowed(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		hammer.Eventually(t, n.name+" admits complying writes", func() error {
			var refused []error
			for _, object := range hammer.Complying() {
				refused = append(refused, n.comply(t, object))
			}
			return errors.Join(refused...)
		})
	}
}

// requireNoQuorum checks that no write succeeds through the servers.
func (c *cluster) requireNoQuorum(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		hammer.Eventually(t, "no write succeeds through "+n.name, func() error {
			if n.comply(t, hammer.ConfigMap("", "team", "red")) == nil {
				return errors.New("a write succeeded")
			}
			return nil
		})
	}
}

// comply creates an object and deletes it again.
func (n *node) comply(t *testing.T, object hammer.Object) error {
	ctx, cancel := context.WithTimeout(t.Context(), hammer.AnswerTimeout)
	defer cancel()
	return hammer.Comply(ctx, n.dynamic, object)
}

// requireDenied waits until a server denies all violating objects that would be new.
func (n *node) requireDenied(t *testing.T) {
	t.Helper()
	n.requireDeniedOf(t, "create ")
}

// requireDeniedWithoutStore is like requireDenied for a server without etcd. It leaves out Pods and
// workloads, for which Kubernetes' own plugins first read limits and quotas.
func (n *node) requireDeniedWithoutStore(t *testing.T) {
	t.Helper()
	n.requireDeniedOf(t, "create a ConfigMap ")
}

func (n *node) requireDeniedOf(t *testing.T, prefix string) {
	t.Helper()
	for _, v := range hammer.Violations {
		if !strings.HasPrefix(v.Name, prefix) {
			continue
		}
		hammer.Eventually(t, fmt.Sprintf("%s denies: %s", n.name, v.Name), func() error {
			err := v.Write(t.Context(), n.dynamic)
			require.Error(t, err)
			if !hammer.DeniedBy(err, v.Policy) {
				return fmt.Errorf("the response was: %w", err)
			}
			return nil
		})
	}
}

// leader returns the node whose etcd is the leader.
func (c *cluster) leader(t *testing.T, among ...*node) (leader *node) {
	t.Helper()
	hammer.Eventually(t, "an etcd member is the leader", func() error {
		var problems []error
		for _, n := range among {
			leads, err := n.leads(t)
			if leads {
				leader = n
				return nil
			}
			problems = append(problems, err)
		}
		return fmt.Errorf("none is: %w", errors.Join(problems...))
	})
	return leader
}
