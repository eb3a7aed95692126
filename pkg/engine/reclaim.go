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
	// reclaimLogSeconds is the minimum time between two log lines of reclaim.
	reclaimLogSeconds = 10
	// idleTime is how long an instance may stay idle, unless it is its module's last. It frees the
	// instances that only a peak of requests needed.
	idleTime = 5 * time.Minute
	// idleInterval is the interval between checks for idle instances.
	idleInterval = time.Minute
)

// reclaim destroys idle instances until n more units fit into a budget or no idle instances are
// left. It reports whether it destroyed any. The asking module gives up its own instances first, so
// that a policy at its limit does not take from others what it has itself. Other modules follow,
// longest idle first. A module loses its last idle instance only when no module has two.
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
	// Guests can trigger this as often as they like, so limit the rate of logging.
	if now, last := time.Now().Unix(), e.lastReclaim.Load(); freed > 0 &&
		now-last >= reclaimLogSeconds && e.lastReclaim.CompareAndSwap(last, now) {
		e.logger.Warn("Memory or mappings for modules are exhausted: dropping idle instances",
			"digest", asker.digest, "instances", freed, "limit", e.limits.PoolBytes,
			"mappings", e.mappings.Limit())
	}
	return freed > 0
}

// dropOldest destroys the instance that was idle the longest, and reports whether there was one.
func dropOldest(p *pool.Pool[*Instance]) bool {
	_, idle := p.Oldest()
	return idle > 0 && p.Trim(idle-1) > 0
}

// oldestIdle returns the pool with the longest-idle instance among all pools with more than keep
// idle instances, or nil.
func oldestIdle(pools []*pool.Pool[*Instance], keep int) (found *pool.Pool[*Instance]) {
	var oldest time.Time
	for _, p := range pools {
		if since, idle := p.Oldest(); idle > keep && (found == nil || since.Before(oldest)) {
			found, oldest = p, since
		}
	}
	return found
}

// giveBackIdle destroys long-idle instances until the engine is closed.
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

// trimIdle destroys the instances that were idle for longer than idleTime, except the last one of
// each module.
func (e *Engine) trimIdle() {
	before := e.now().Add(-idleTime)
	for _, p := range e.pools() {
		p.TrimBefore(1, before)
	}
}

const (
	// instanceMappings is the maximum number of process mappings of an instance with a memory. The
	// image, what is backed beyond it, and the reserved rest take three.
	instanceMappings = 4
	// mappingShare divides the process's mappings to get the part that instances may take. The Go
	// runtime, code, and the rest of the apiserver need the others.
	mappingShare = 2
)

// mappingLimit returns how many mappings instances may take: a share of the process's limit. It
// asks the system for that limit, unless a test passes one. 0 means that there is no limit.
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

// reserveMappings reserves the instance's share of the process's mappings.
func (i *Instance) reserveMappings() error {
	mappings := i.module.mappings
	if err := mappings.Reserve(instanceMappings); err != nil {
		return fmt.Errorf(
			"instances may take half of the memory mappings that the system allows a process: raise the sysctl vm.max_map_count, or lower limits.moduleEvaluations: %w",
			&LimitError{
				Limit: "memory mappings of instances",
				Value: int64(mappings.Used() + instanceMappings),
				Max:   int64(mappings.Limit()),
			})
	}
	i.mapped = true
	return nil
}

// releaseMappings releases that share.
func (i *Instance) releaseMappings() {
	if i.mapped {
		i.module.mappings.Release(instanceMappings)
		i.mapped = false
	}
}
