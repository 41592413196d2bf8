package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

type record struct {
	left, right *record
	words       [6]uint64
}

const (
	graphRecords = 1 << 20
	graphSum     = graphRecords * (graphRecords - 1) / 2
	storeSlots   = 1024
	storeTargets = 4096
)

// makeGraph makes a tree whose nodes lie in memory in random order, as bench/common/mark_graph.h does.
func makeGraph() *record {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	nodes := make([]*record, graphRecords)
	for i := range nodes {
		nodes[i] = new(record)
	}
	state := uint64(0x9e3779b97f4a7c15)
	for i := graphRecords - 1; i > 0; i-- {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		other := state % uint64(i+1)
		nodes[i], nodes[other] = nodes[other], nodes[i]
	}
	for i := range nodes {
		nodes[i].words[0] = uint64(i)
		if 2*i+1 < graphRecords {
			nodes[i].left = nodes[2*i+1]
		}
		if 2*i+2 < graphRecords {
			nodes[i].right = nodes[2*i+2]
		}
	}
	return nodes[0]
}

func sumOfGraph(top *record) uint64 {
	if top == nil {
		return 0
	}
	return top.words[0] + sumOfGraph(top.left) + sumOfGraph(top.right)
}

type stores struct {
	slots   *[storeSlots]*record
	targets *[storeTargets]*record
	done    uint64
}

func newStores() *stores {
	all := &stores{slots: new([storeSlots]*record), targets: new([storeTargets]*record)}
	for i := range all.targets {
		all.targets[i] = new(record)
		all.targets[i].words[0] = uint64(i)
	}
	return all
}

//go:noinline
func (all *stores) perform(count uint64) {
	slots, targets := all.slots, all.targets
	done := all.done
	for end := done + count; done < end; done++ {
		slots[done%storeSlots] = targets[done%storeTargets]
	}
	all.done = done
}

func (all *stores) check() {
	first := uint64(0)
	if all.done > storeSlots {
		first = all.done - storeSlots
	}
	for i := first; i < all.done; i++ {
		require(all.slots[i%storeSlots].words[0] == i%storeTargets, "a slot holds another object")
	}
}

// markRate asks for collections with 64 MiB alive in objects of 64 bytes: what of it is gone over in a second.
func markRate(count uint64) sample {
	live := makeGraph()
	runtime.GC()
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		runtime.GC()
	}
	elapsed := time.Since(start)
	require(sumOfGraph(live) == graphSum, "the live objects have changed")
	found := perOperation(count, elapsed)
	found.value = float64(count*graphRecords*64) * 1e-6 / found.seconds
	return found
}

// barrierOff stores a pointer over another one, while no collection is under way.
func barrierOff(count uint64) sample {
	all := newStores()
	runtime.GC()
	start := time.Now()
	all.perform(count)
	elapsed := time.Since(start)
	all.check()
	return perOperation(count, elapsed)
}

// progress is how many collections have ended marking, and how many stops there were for all of them.
type progress struct {
	cycles, stops uint64
}

func readProgress(samples []metrics.Sample) progress {
	metrics.Read(samples)
	found := progress{cycles: samples[0].Value.Uint64()}
	for _, number := range samples[1].Value.Float64Histogram().Counts {
		found.stops += number
	}
	return found
}

func progressSamples() []metrics.Sample {
	return []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/pauses:seconds"}}
}

// barrierOn does the same while the collector marks. Go does not say whether it does; so whoever asks for collections
// tells what was counted while none was under way. There is marking when there was one stop more since, and the
// collection is not counted yet.
func barrierOn(count uint64) sample {
	const longestBatch = 10_000
	const mostCycles = 10_000
	live := makeGraph()
	all := newStores()
	runtime.GC()
	var over atomic.Value
	var idle atomic.Value
	first := readProgress(progressSamples())
	idle.Store(first)
	over.Store(false)
	done := make(chan bool)
	go func() {
		samples := progressSamples()
		for !over.Load().(bool) {
			runtime.GC()
			idle.Store(readProgress(samples))
		}
		done <- true
	}()
	batch := count
	if batch > longestBatch {
		batch = longestBatch
	}
	samples := progressSamples()
	marks := func(from, now progress) bool { return now.cycles == from.cycles && now.stops > from.stops }
	var times []time.Duration
	for uint64(len(times))*batch < count {
		from := idle.Load().(progress)
		before := readProgress(samples)
		require(before.cycles < first.cycles+mostCycles, "no store was ever done while the collector marked")
		start := time.Now()
		all.perform(batch)
		elapsed := time.Since(start)
		after := readProgress(samples)
		if from == idle.Load().(progress) && marks(from, before) && marks(from, after) {
			times = append(times, elapsed)
		}
	}
	over.Store(true)
	<-done
	all.check()
	require(sumOfGraph(live) == graphSum, "the live objects have changed")
	// The median: what interrupts a batch is not the barrier's.
	return perOperation(batch, quantile(times, 0.5))
}
