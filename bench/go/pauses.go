package main

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

type link struct {
	next  *link
	words [31]uint64
}

const (
	liveLinks    = 1 << 30 / 256
	chains       = 1024
	parkedBeside = 100_000
	// Fewer collections than this are a trial, which makes do with a sixty-fourth of all.
	leastForFigures = 10
	partForTrial    = 64
)

// stops reads how long it took until all goroutines had stopped for collections, together and how often. A histogram is
// all there is: the middle of a bucket stands for what is in it, which is exact to an eighth.
// Nothing before Go 1.22.
func stops() (seconds, count float64) {
	sample := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0, 0
	}
	histogram := sample[0].Value.Float64Histogram()
	for i, number := range histogram.Counts {
		low, high := histogram.Buckets[i], histogram.Buckets[i+1]
		if math.IsInf(low, -1) {
			low = 0
		}
		if math.IsInf(high, 1) {
			high = low
		}
		seconds += float64(number) * (low + high) / 2
		count += float64(number)
	}
	return seconds, count
}

// pausesOf looks at `count` collections or more, which garbage causes, with a part-th of 1 GiB and of 100 000 parked
// goroutines beside them.
func pausesOf(count, part uint64) sample {
	heads := make([]*link, chains)
	for i := uint64(0); i < liveLinks/part; i++ {
		fresh := new(link)
		fresh.next = heads[i%chains]
		heads[i%chains] = fresh
	}
	gate := make(chan int)
	var begun atomic.Uint64
	var group sync.WaitGroup
	for i := uint64(0); i < parkedBeside/part; i++ {
		group.Add(1)
		go func() {
			begun.Add(1)
			<-gate
			group.Done()
		}()
	}
	for begun.Load() < parkedBeside/part {
		time.Sleep(time.Millisecond)
	}
	runtime.GC()
	secondsBefore, stopsBefore := stops()
	// Reading MemStats stops the world, though not for what it counts as pauses of collections: seldom, then.
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	first := stats.NumGC
	ring := make([]*link, kept)
	start := time.Now()
	for i := uint64(0); ; i++ {
		if i%(1<<18) == 0 {
			runtime.ReadMemStats(&stats)
			if uint64(stats.NumGC) >= uint64(first)+count {
				break
			}
		}
		ring[i%kept] = new(link)
	}
	elapsed := time.Since(start)
	secondsAfter, stopsAfter := stops()
	var pauses []time.Duration
	for i := first; i < stats.NumGC && len(pauses) < 256; i++ {
		pauses = append(pauses, time.Duration(stats.PauseNs[i%256]))
	}
	close(gate)
	group.Wait()
	alive := uint64(0)
	for _, one := range heads {
		for ; one != nil; one = one.next {
			alive++
		}
	}
	require(alive == liveLinks/part, "the chains have lost links")
	runtime.KeepAlive(ring)
	found := perOperation(uint64(len(pauses)), elapsed)
	found.value = float64(quantile(pauses, 0.99).Nanoseconds()) * 1e-3
	found.details = []detail{{"median_us", float64(quantile(pauses, 0.5).Nanoseconds()) * 1e-3}}
	if stopsAfter > 0 {
		require(stopsAfter >= stopsBefore+2*float64(count), "a collection has less than two stops")
		mean := (secondsAfter - secondsBefore) / (stopsAfter - stopsBefore)
		found.details = append(found.details, detail{"stop_us", mean * 1e6})
	}
	return found
}

// gcPause looks at the stops of collections, with 1 GiB alive and 100 000 parked goroutines.
func gcPause(count uint64) sample {
	if count < leastForFigures {
		return pausesOf(count, partForTrial)
	}
	return pausesOf(count, 1)
}

// gcPauseLoop does the same while a loop without any call has the other processor.
func gcPauseLoop(count uint64) sample {
	var over, begun atomic.Bool
	var loop sync.WaitGroup
	loop.Add(1)
	go func() {
		defer loop.Done()
		begun.Store(true)
		turns := 0
		for !over.Load() {
			turns++
		}
		require(turns > 0, "the loop did nothing")
	}()
	for !begun.Load() {
		time.Sleep(time.Millisecond)
	}
	found := gcPause(count)
	over.Store(true)
	loop.Wait()
	return found
}
