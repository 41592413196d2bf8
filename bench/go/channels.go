package main

import (
	"sync"
	"sync/atomic"
	"time"
)

func chanUnbuffered(count uint64) sample {
	ping := make(chan uint64)
	pong := make(chan uint64)
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		for value := range ping {
			pong <- value + 1
		}
	}()
	var sum uint64
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		ping <- i
		sum += <-pong
	}
	elapsed := time.Since(start)
	close(ping)
	group.Wait()
	require(sum == count*(count+1)/2, "the answers do not add up")
	return perOperation(count, elapsed)
}

func chanBuffered(count uint64) sample {
	values := make(chan uint64, 128)
	var sum uint64
	start := time.Now()
	go func() {
		for i := uint64(0); i < count; i++ {
			values <- i
		}
		close(values)
	}()
	for value := range values {
		sum += value
	}
	elapsed := time.Since(start)
	require(sum == count*(count-1)/2, "the values received do not add up")
	return perOperation(count, elapsed)
}

func chanContended(count uint64) sample {
	const pairs = 8
	each := (count + pairs - 1) / pairs
	values := make(chan uint64, 128)
	var producers, consumers sync.WaitGroup
	var sum uint64
	start := time.Now()
	for i := 0; i < pairs; i++ {
		consumers.Add(1)
		go func() {
			defer consumers.Done()
			var own uint64
			for value := range values {
				own += value
			}
			atomic.AddUint64(&sum, own)
		}()
		producers.Add(1)
		go func() {
			defer producers.Done()
			for j := uint64(0); j < each; j++ {
				values <- j
			}
		}()
	}
	producers.Wait()
	close(values)
	consumers.Wait()
	elapsed := time.Since(start)
	require(sum == pairs*(each*(each-1)/2), "the values received do not add up")
	return perOperation(pairs*each, elapsed)
}

func select2(count uint64) sample {
	// Both channels hold a block's worth of values, so that both are ready at each select. Filling them is not measured.
	const block = 512
	blocks := (count + block - 1) / block
	left := make(chan uint64, block)
	right := make(chan uint64, block)
	var sent, received, fromLeft, fromRight uint64
	var elapsed time.Duration
	for i := uint64(0); i < blocks; i++ {
		for len(left) < block {
			left <- sent
			sent++
		}
		for len(right) < block {
			right <- sent
			sent++
		}
		start := time.Now()
		for j := 0; j < block; j++ {
			select {
			case value := <-left:
				received += value
				fromLeft++
			case value := <-right:
				received += value
				fromRight++
			}
		}
		elapsed += time.Since(start)
	}
	selects := blocks * block
	for len(left) > 0 {
		received += <-left
	}
	for len(right) > 0 {
		received += <-right
	}
	require(received == sent*(sent-1)/2, "the values received do not add up")
	require(fromLeft+fromRight == selects, "not every select received once")
	require(fromLeft > selects/3 && fromRight > selects/3, "select prefers one of two ready channels")
	return perOperation(selects, elapsed)
}
