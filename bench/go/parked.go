package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// parked measures the time until count goroutines, each started and run up to its receive, are parked; and the memory
// that they take.
func parked(count uint64) sample {
	gate := make(chan uint64)
	var arrived, left sync.WaitGroup
	var woken uint64
	arrived.Add(int(count))
	left.Add(int(count))
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		go func() {
			arrived.Done()
			if _, open := <-gate; !open {
				atomic.AddUint64(&woken, 1)
			}
			left.Done()
		}()
	}
	arrived.Wait()
	elapsed := time.Since(start)
	resident, pageTables := memoryUse()
	ending := time.Now()
	close(gate)
	left.Wait()
	ended := time.Since(ending)
	require(woken == count, "not every parked goroutine was woken by the close")

	found := perOperation(count, elapsed)
	found.value = found.seconds
	found.details = []detail{
		{"resident_bytes", resident},
		{"page_table_bytes", pageTables},
		{"end_seconds", ended.Seconds()},
	}
	return found
}
