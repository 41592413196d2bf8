package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Operations of one measure, all goroutines together; more when each would have less than leastEach.
const (
	scaleOperations = 1_000_000
	leastEach       = 10
)

func operationsEach(workers uint64) uint64 {
	if each := scaleOperations / workers; each > leastEach {
		return each
	}
	return leastEach
}

// race is count goroutines that come to a gate: it opens when all are there, and the clock runs from then until the last
// one has come to the end. So a wake-up of each is part of the time, beside leastEach operations or more.
type race struct {
	count, ended      uint64
	atGate            sync.WaitGroup
	gate              chan uint64
	openedAt, endedAt time.Time
}

func newRace(count uint64) *race {
	all := &race{count: count, gate: make(chan uint64)}
	all.atGate.Add(int(count))
	return all
}

func (all *race) passGate() {
	all.atGate.Done()
	<-all.gate
}

func (all *race) end() {
	if atomic.AddUint64(&all.ended, 1) == all.count {
		all.endedAt = time.Now()
	}
}

func (all *race) openGate() {
	all.atGate.Wait()
	all.openedAt = time.Now()
	close(all.gate)
}

func (all *race) elapsed() time.Duration {
	require(all.ended == all.count, "not every goroutine has come to the end")
	return all.endedAt.Sub(all.openedAt)
}

func scaleYield(count uint64) sample {
	each := operationsEach(count)
	all := newRace(count)
	var group sync.WaitGroup
	group.Add(int(count))
	for i := uint64(0); i < count; i++ {
		go func() {
			all.passGate()
			for j := uint64(0); j < each; j++ {
				runtime.Gosched()
			}
			all.end()
			group.Done()
		}()
	}
	all.openGate()
	group.Wait()
	return perOperation(count*each, all.elapsed())
}

func scaleChan(count uint64) sample {
	pairs := count / 2
	if pairs == 0 {
		pairs = 1
	}
	each := operationsEach(pairs)
	all := newRace(2 * pairs)
	var sum uint64
	var group sync.WaitGroup
	group.Add(int(2 * pairs))
	for i := uint64(0); i < pairs; i++ {
		ping, pong := make(chan uint64), make(chan uint64)
		go func() {
			all.passGate()
			for j := uint64(0); j < each; j++ {
				pong <- <-ping + 1
			}
			all.end()
			group.Done()
		}()
		go func() {
			all.passGate()
			var own uint64
			for j := uint64(0); j < each; j++ {
				ping <- j
				own += <-pong
			}
			all.end()
			atomic.AddUint64(&sum, own)
			group.Done()
		}()
	}
	all.openGate()
	group.Wait()
	require(sum == pairs*(each*(each+1)/2), "the answers do not add up")
	return perOperation(pairs*each, all.elapsed())
}

func scaleSpawn(count uint64) sample {
	rounds := uint64(scaleOperations) / count
	if rounds == 0 {
		rounds = 1
	}
	var ran uint64
	var group sync.WaitGroup
	var start time.Time
	for round := uint64(0); round <= rounds; round++ {
		if round == 1 {
			start = time.Now() // round 0 is the warm-up: it gets the stacks
		}
		group.Add(int(count))
		for i := uint64(0); i < count; i++ {
			go func() {
				atomic.AddUint64(&ran, 1)
				group.Done()
			}()
		}
		group.Wait()
	}
	elapsed := time.Since(start)
	require(ran == (rounds+1)*count, "not every goroutine ran once")
	return perOperation(rounds*count, elapsed)
}
