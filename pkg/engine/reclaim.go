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

package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/pool"
)

const (
	// reclaimLogSeconds is the least time between two log lines of reclaim.
	reclaimLogSeconds = 10
	// idleTime is how long an instance may be idle, unless it is its module's last: what a
	// peak of requests needed is given back after it.
	idleTime = 5 * time.Minute
	// idleInterval is how often idle instances are looked at.
	idleInterval = time.Minute
)

// reclaim gives up idle instances until n more fit into a budget, or there are none left. It
// reports whether it gave any up. The module that asks gives up its own first, so that a
// policy at the limit does not take from others what it has itself; then others, those that
// were idle the longest first, and the last one of a module only when no module has two.
func (e *Engine) reclaim(asker *Module, budget *memory.Budget, n uint64) bool {
	freed := 0
	if asker.pool != nil {
		for !budget.Fits(n) && dropOldest(asker.pool) {
			freed++
		}
	}
	others := e.pools()
	for _, keep := range []int{1, 0} {
		for !budget.Fits(n) {
			oldest := oldestIdle(others, keep)
			if oldest == nil {
				break
			}
			if dropOldest(oldest) {
				freed++
			}
		}
	}
	// Guests can bring this about as often as they like.
	if now, last := time.Now().Unix(), e.lastReclaim.Load(); freed > 0 && now-last >= reclaimLogSeconds && e.lastReclaim.CompareAndSwap(last, now) {
		e.logger.Warn("Memory or mappings for modules are used up: idle instances are given up", "digest", asker.digest, "instances", freed,
			"limit", e.limits.PoolBytes, "mappings", e.mappings.Limit())
	}
	return freed > 0
}

// dropOldest destroys the instance that was idle the longest, and reports whether there was one.
func dropOldest(p *pool.Pool[*Instance]) bool {
	_, idle := p.Oldest()
	return idle > 0 && p.Trim(idle-1) > 0
}

// oldestIdle returns the pool whose oldest instance is the oldest of all pools that have more
// idle ones than they keep, or nil.
func oldestIdle(pools []*pool.Pool[*Instance], keep int) (found *pool.Pool[*Instance]) {
	var oldest time.Time
	for _, p := range pools {
		if since, idle := p.Oldest(); idle > keep && (found == nil || since.Before(oldest)) {
			found, oldest = p, since
		}
	}
	return found
}

// giveBackIdle ends instances that were idle for long, until the engine is closed.
func (e *Engine) giveBackIdle() {
	ticker := time.NewTicker(idleInterval)
	defer ticker.Stop()
	for {
		select {
		case <-e.stopIdle:
			return
		case <-ticker.C:
			e.trimIdle()
		}
	}
}

// trimIdle ends the instances that were idle for longer than idleTime, but for the last one
// of each module.
func (e *Engine) trimIdle() {
	before := e.now().Add(-idleTime)
	for _, p := range e.pools() {
		p.TrimBefore(1, before)
	}
}

const (
	// instanceMappings is how many mappings of the process an instance with a memory takes
	// at most: the image, what is backed beyond it, and the reserved rest make three.
	instanceMappings = 4
	// mappingShare is the part of the process's mappings that instances may take. The Go
	// runtime, code and the rest of the apiserver need the others.
	mappingShare = 2
)

// mappingLimit is how many mappings instances may take: a share of the most that the process
// may have, which the system is asked for unless a test says. 0 means that there is no limit.
func mappingLimit(most uint64) uint64 {
	if most == 0 {
		// Only Linux has this limit.
		text, err := os.ReadFile("/proc/sys/vm/max_map_count")
		if err != nil {
			return 0
		}
		if most, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return 0
		}
	}
	return max(most/mappingShare, 1)
}

// reserveMappings takes what the instance needs of the process's mappings.
func (i *Instance) reserveMappings() error {
	mappings := i.module.mappings
	if err := mappings.Reserve(instanceMappings); err != nil {
		return fmt.Errorf("instances may take half of the memory mappings that the system allows a process: raise the sysctl vm.max_map_count, or lower limits.moduleEvaluations: %w",
			&LimitError{Limit: "memory mappings of instances", Value: int64(mappings.Used() + instanceMappings), Max: int64(mappings.Limit())})
	}
	i.mapped = true
	return nil
}

// releaseMappings gives them back.
func (i *Instance) releaseMappings() {
	if i.mapped {
		i.module.mappings.Release(instanceMappings)
		i.mapped = false
	}
}
