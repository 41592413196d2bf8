package main

import "time"

func timerArmStop(count uint64) sample { return armAndStop(count) }

func timer1mArmStop(count uint64) sample {
	const others = 1_000_000
	armed := make([]*time.Timer, 0, others)
	// From half an hour to one and a half, in no order: half of them are due before the timer that is measured.
	for i := 0; i < others; i++ {
		armed = append(armed, time.NewTimer(30*time.Minute+time.Duration(i*7919%others*3600)*time.Microsecond))
	}
	found := armAndStop(count)
	for _, one := range armed {
		require(one.Stop(), "a timer of half an hour was over at once")
	}
	return found
}

func armAndStop(count uint64) sample {
	var stopped uint64
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		timer := time.NewTimer(time.Hour)
		if timer.Stop() {
			stopped++
		}
	}
	elapsed := time.Since(start)
	require(stopped == count, "a timer that was armed says that it was not")
	return perOperation(count, elapsed)
}

func timerResetStop(count uint64) sample {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	var stopped uint64
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		timer.Reset(time.Hour)
		if timer.Stop() {
			stopped++
		}
	}
	elapsed := time.Since(start)
	require(stopped == count, "a timer that was armed says that it was not")
	return perOperation(count, elapsed)
}

func sleep50us(count uint64) sample {
	const length = 50 * time.Microsecond
	lengths := make([]time.Duration, 0, count)
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		before := time.Now()
		time.Sleep(length)
		lengths = append(lengths, time.Since(before))
	}
	found := perOperation(count, time.Since(start))
	found.value = float64(quantile(lengths, 0.5)) / 1e3
	found.details = []detail{{"p99_us", float64(quantile(lengths, 0.99)) / 1e3}}
	require(lengths[0] >= length, "a sleep ended early")
	return found
}
