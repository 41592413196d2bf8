package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// requireTurns checks that two goroutines that yield on one processor take turns.
func requireTurns() {
	const rounds = 1000
	last, turns := -1, 0
	var group sync.WaitGroup
	for self := 0; self < 2; self++ {
		group.Add(1)
		go func(self int) {
			defer group.Done()
			for i := 0; i < rounds; i++ {
				if last != self {
					turns++
				}
				last = self
				runtime.Gosched()
			}
		}(self)
	}
	group.Wait()
	require(turns >= 2*rounds*9/10, "yield does not let the other goroutine go first")
}

func yield(count uint64) sample {
	if runtime.GOMAXPROCS(0) == 1 {
		requireTurns()
	}
	each := (count + 1) / 2
	var done uint64
	var group sync.WaitGroup
	start := time.Now()
	for i := 0; i < 2; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			var yields uint64
			for ; yields < each; yields++ {
				runtime.Gosched()
			}
			atomic.AddUint64(&done, yields)
		}()
	}
	group.Wait()
	elapsed := time.Since(start)
	require(done == 2*each, "not every yield was done")
	return perOperation(2*each, elapsed)
}

func spawn(count uint64) sample {
	var sum uint64
	var group sync.WaitGroup
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		group.Add(1)
		go func(i uint64) {
			sum += i
			group.Done()
		}(i)
		group.Wait()
	}
	elapsed := time.Since(start)
	require(sum == count*(count-1)/2, "not every goroutine ran once")
	return perOperation(count, elapsed)
}

func spawnBatch(count uint64) sample {
	const batch = 1000
	batches := (count + batch - 1) / batch
	var sum uint64
	var group sync.WaitGroup
	start := time.Now()
	for i := uint64(0); i < batches; i++ {
		group.Add(batch)
		for j := uint64(0); j < batch; j++ {
			go func(j uint64) {
				atomic.AddUint64(&sum, j)
				group.Done()
			}(j)
		}
		group.Wait()
	}
	elapsed := time.Since(start)
	require(sum == batches*(batch*(batch-1)/2), "not every goroutine ran once")
	return perOperation(batches*batch, elapsed)
}

const fanOut = 10

func skynet(results chan<- uint64, first, leaves uint64) {
	if leaves == 1 {
		results <- first
		return
	}
	children := make(chan uint64)
	share := leaves / fanOut
	for i := uint64(0); i < fanOut; i++ {
		go skynet(children, first+i*share, share)
	}
	var sum uint64
	for i := 0; i < fanOut; i++ {
		sum += <-children
	}
	results <- sum
}

func skynetOf(leaves, count uint64) sample {
	results := make(chan uint64)
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		go skynet(results, 0, leaves)
		require(<-results == leaves*(leaves-1)/2, "the leaves do not add up")
	}
	elapsed := time.Since(start)
	found := perOperation(count, elapsed)
	found.value /= 1e6
	return found
}

func skynet100k(count uint64) sample { return skynetOf(100_000, count) }
func skynet1m(count uint64) sample   { return skynetOf(1_000_000, count) }
