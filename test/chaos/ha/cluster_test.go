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

// cluster is three nodes and those who write to them.
type cluster struct {
	nodes   [3]*node
	hammer  *hammer.Hammer
	watcher *watcher
}

// newCluster starts three etcds and no server yet.
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
		// Each writer stays with one server, so that those of others go on while one is away.
		Client: func(writer int) (dynamic.Interface, error) {
			return c.nodes[writer%len(c.nodes)].dynamic, nil
		},
		Pace:         pace,
		AllowedEvery: 20,
	}
	c.watcher = newWatcher(c.nodes)
	return c
}

// others are the nodes beside one.
func (c *cluster) others(n *node) (others []*node) {
	for _, other := range c.nodes {
		if other != n {
			others = append(others, other)
		}
	}
	return others
}

// restart starts servers, all at once, and waits until they are ready.
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

// requireUnharmed checks what has to be true after each fault: nothing violating is stored,
// whichever server is asked, and none just refuses everything.
func (c *cluster) requireUnharmed(t *testing.T) {
	t.Helper()
	c.requireAllowed(t, c.nodes[:]...)
	require.Zero(t, c.unenforced(t), "violating writes got in")
	c.hammer.RequireDenials(t)
}

// unenforced counts the violating writes that were admitted: those that a server finds
// stored, or those that were answered so, if these are more.
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

// requireAllowed waits until writes that comply, of each kind, pass through servers.
func (c *cluster) requireAllowed(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		hammer.Eventually(t, "writes that comply pass through "+n.name, func() error {
			var refused []error
			for _, object := range hammer.Complying() {
				refused = append(refused, n.comply(t, object))
			}
			return errors.Join(refused...)
		})
	}
}

// requireNoQuorum checks that nothing can be written through servers.
func (c *cluster) requireNoQuorum(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		hammer.Eventually(t, "no write passes through "+n.name, func() error {
			if n.comply(t, hammer.ConfigMap("", "team", "red")) == nil {
				return errors.New("a write has passed")
			}
			return nil
		})
	}
}

// comply writes an object and removes it again.
func (n *node) comply(t *testing.T, object hammer.Object) error {
	ctx, cancel := context.WithTimeout(t.Context(), hammer.AnswerTimeout)
	defer cancel()
	return hammer.Comply(ctx, n.dynamic, object)
}

// requireDenied waits until a server denies whatever is new.
func (n *node) requireDenied(t *testing.T) {
	t.Helper()
	n.requireDeniedOf(t, "create ")
}

// requireDeniedWithoutStore is the same for a server that has no etcd. Pods and what makes
// them it does not get so far with: Kubernetes' own plugins read limits and quotas first.
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
				return fmt.Errorf("it was answered: %w", err)
			}
			return nil
		})
	}
}

// leader is the node whose etcd leads.
func (c *cluster) leader(t *testing.T, among ...*node) (leader *node) {
	t.Helper()
	hammer.Eventually(t, "an etcd leads", func() error {
		var problems []error
		for _, n := range among {
			leads, err := n.leads(t)
			if leads {
				leader = n
				return nil
			}
			problems = append(problems, err)
		}
		return fmt.Errorf("none does: %w", errors.Join(problems...))
	})
	return leader
}
