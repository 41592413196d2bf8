package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	lightPeriod = time.Millisecond
	lightTasks  = 8
)

// besideHogs starts as many hogs, runs work beside them, and ends them.
func besideHogs(count int, work func()) {
	var over, started int32
	var hogs sync.WaitGroup
	for i := 0; i < count; i++ {
		hogs.Add(1)
		go func() {
			defer hogs.Done()
			atomic.AddInt32(&started, 1)
			turns := 0
			for atomic.LoadInt32(&over) == 0 {
				turns++
			}
			require(turns > 0, "a hog did nothing")
		}()
	}
	for atomic.LoadInt32(&started) != int32(count) {
		time.Sleep(time.Millisecond)
	}
	work()
	atomic.StoreInt32(&over, 1)
	hogs.Wait()
}

// latenessOfLightTasks says how late each wake-up was: from when it was due until the goroutine ran.
func latenessOfLightTasks(count uint64) []time.Duration {
	each := (count + lightTasks - 1) / lightTasks
	lateness := make([]time.Duration, lightTasks*each)
	var group sync.WaitGroup
	for task := uint64(0); task < lightTasks; task++ {
		group.Add(1)
		go func(task uint64) {
			defer group.Done()
			for i := uint64(0); i < each; i++ {
				due := time.Now().Add(lightPeriod)
				time.Sleep(time.Until(due))
				lateness[task*each+i] = time.Since(due)
			}
		}(task)
	}
	group.Wait()
	return lateness
}

func p99Growth(count uint64, disturb func(work func())) sample {
	alone := latenessOfLightTasks(count)
	start := time.Now()
	var beside []time.Duration
	disturb(func() { beside = latenessOfLightTasks(count) })
	found := perOperation(uint64(len(beside)), time.Since(start))
	before, after := float64(quantile(alone, 0.99)), float64(quantile(beside, 0.99))
	found.value = after / before
	found.details = []detail{{"alone_p99_us", before / 1e3}, {"beside_p99_us", after / 1e3}}
	return found
}

func hogPingpong(count uint64) (found sample) {
	besideHogs(runtime.GOMAXPROCS(0), func() { found = chanUnbuffered(count) })
	found.value /= 1e3
	return found
}

func hogLight(count uint64) sample {
	start := time.Now()
	var lateness []time.Duration
	besideHogs(runtime.GOMAXPROCS(0), func() { lateness = latenessOfLightTasks(count) })
	found := perOperation(uint64(len(lateness)), time.Since(start))
	found.value = float64(quantile(lateness, 0.99)) / 1e3
	found.details = []detail{
		{"p50_us", float64(quantile(lateness, 0.5)) / 1e3},
		{"max_us", float64(lateness[len(lateness)-1]) / 1e3},
	}
	return found
}

func loopBeside(count uint64) sample {
	return p99Growth(count, func(work func()) { besideHogs(1, work) })
}

func blockBeside(count uint64) sample {
	return p99Growth(count, func(work func()) {
		var over int32
		var sleeper sync.WaitGroup
		sleeper.Add(1)
		go func() {
			defer sleeper.Done()
			for atomic.LoadInt32(&over) == 0 {
				length := syscall.Timespec{Nsec: 200_000_000}
				syscall.Nanosleep(&length, nil)
			}
		}()
		work()
		atomic.StoreInt32(&over, 1)
		sleeper.Wait()
	})
}
