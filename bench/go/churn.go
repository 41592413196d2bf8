package main

import (
	"runtime"
	"runtime/debug"
	"time"
)

const (
	churnBytes       = 64 << 20
	churnMostObjects = churnBytes / 64
	spikeBlock       = 1024
	spikeBlocksInMib = 1 << 20 / spikeBlock
	leastLeft        = 4096
)

// churnPlan draws the sizes of a churn and which object goes, as bench/common/churn.h does.
type churnPlan struct {
	state uint64
}

func (plan *churnPlan) draw() uint64 {
	plan.state ^= plan.state << 13
	plan.state ^= plan.state >> 7
	plan.state ^= plan.state << 17
	return plan.state
}

func (plan *churnPlan) size(phase uint64) uint64 {
	least := [...]uint64{64, 256, 1024, 128, 4096, 512}
	low := least[phase%uint64(len(least))]
	return low + plan.draw()%(low/8+1)*8
}

func stamp(words []uint64) {
	words[0] = uint64(len(words))
	words[len(words)-1] = ^uint64(len(words))
}

func isStamped(words []uint64) bool {
	if len(words) == 0 {
		return false
	}
	return words[0] == uint64(len(words)) && words[len(words)-1] == ^uint64(len(words))
}

// churned has objects that come and go at random places of a table. A slice has its size beside it, which is what the
// other programs keep in a table of its own.
type churned struct {
	objects [][]uint64
	live    uint64
	plan    churnPlan
}

func (of *churned) runPhase(phase uint64) {
	for made := uint64(0); made < churnBytes; {
		size := of.plan.size(phase)
		for of.live+size > churnBytes {
			of.drop(int(of.plan.draw() % uint64(len(of.objects))))
		}
		fresh := make([]uint64, size/8)
		stamp(fresh)
		of.objects = append(of.objects, fresh)
		of.live += size
		made += size
	}
}

func (of *churned) drop(index int) {
	require(isStamped(of.objects[index]), "an object was overwritten")
	of.live -= uint64(len(of.objects[index])) * 8
	last := len(of.objects) - 1
	of.objects[index] = of.objects[last]
	of.objects[last] = nil
	of.objects = of.objects[:last]
}

// churn runs through count phases; how much memory the process has for each live byte, and how much of it is left when
// all garbage is gone and all that is free was given back.
func churn(count uint64) sample {
	objects := churned{objects: make([][]uint64, churnMostObjects), plan: churnPlan{0x9e3779b97f4a7c15}}
	for i := range objects.objects {
		objects.objects[i] = nil // touched
	}
	objects.objects = objects.objects[:0]
	before, _ := memoryUse()
	start := time.Now()
	for phase := uint64(0); phase < count; phase++ {
		objects.runPhase(phase)
	}
	elapsed := time.Since(start)
	resident, _ := memoryUse()
	live := uint64(0)
	for _, one := range objects.objects {
		require(isStamped(one), "an object was overwritten")
		live += uint64(len(one)) * 8
	}
	debug.FreeOSMemory()
	kept, _ := memoryUse()
	require(live > churnBytes/100*99, "less is alive than should be")
	runtime.KeepAlive(objects)
	found := perOperation(count, elapsed)
	found.value = (resident - before) / float64(live)
	found.details = []detail{{"fragmentation", (kept - before) / float64(live)}}
	return found
}

// spike lets count MiB come and go; what the process still has of it when all that is free was given back.
func spike(count uint64) sample {
	debug.FreeOSMemory()
	before, _ := memoryUse()
	start := time.Now()
	done := make(chan bool)
	go func() {
		all := make([][]uint64, count*spikeBlocksInMib)
		for i := range all {
			all[i] = make([]uint64, spikeBlock/8)
			stamp(all[i])
		}
		for _, one := range all {
			require(isStamped(one), "a block was overwritten")
		}
		peak, _ := memoryUse()
		require(peak > float64(count<<20), "the spike is not in memory")
		done <- true
	}()
	<-done
	debug.FreeOSMemory()
	elapsed := time.Since(start)
	after, _ := memoryUse()
	found := perOperation(count, elapsed)
	found.value = after - before
	if found.value < leastLeft {
		found.value = leastLeft
	}
	return found
}
