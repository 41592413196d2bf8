package main

import (
	"sync"
	"time"
)

func mutexUncontended(count uint64) sample {
	var lock sync.Mutex
	var counter uint64
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		lock.Lock()
		counter++
		lock.Unlock()
	}
	elapsed := time.Since(start)
	require(counter == count, "the counter under the mutex is off")
	return perOperation(count, elapsed)
}

func mutex16(count uint64) sample {
	const contenders = 16
	each := (count + contenders - 1) / contenders
	var lock sync.Mutex
	var group sync.WaitGroup
	var counter uint64
	start := time.Now()
	for i := 0; i < contenders; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for j := uint64(0); j < each; j++ {
				lock.Lock()
				counter++
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	elapsed := time.Since(start)
	require(counter == contenders*each, "the counter under the mutex is off")
	return perOperation(contenders*each, elapsed)
}
