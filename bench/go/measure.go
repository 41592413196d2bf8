package main

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

type detail struct {
	key   string
	value float64
}

// sample is what one measure found.
type sample struct {
	operations uint64
	seconds    float64
	value      float64
	details    []detail
}

func perOperation(operations uint64, elapsed time.Duration) sample {
	return sample{
		operations: operations,
		seconds:    elapsed.Seconds(),
		value:      float64(elapsed.Nanoseconds()) / float64(operations),
	}
}

// require ends the process unless the condition holds: a result that is wrong must not count.
func require(holds bool, what string) {
	if !holds {
		fmt.Fprintln(os.Stderr, "wrong result:", what)
		os.Exit(1)
	}
}

func measureSeconds() float64 {
	text, found := os.LookupEnv("BENCH_SECONDS")
	if !found {
		return 0.4
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0 && seconds <= 60) {
		fmt.Fprintf(os.Stderr, "BENCH_SECONDS=%s: not a number of seconds above 0 and up to 60\n", text)
		os.Exit(2)
	}
	return seconds
}

// measure performs the row; without a count it finds the one that fills BENCH_SECONDS, which is the warm-up as well.
func measure(what row, count uint64) sample {
	if count == 0 {
		count = what.fixedCount
	}
	if count != 0 {
		return what.work(count)
	}
	wanted := measureSeconds()
	count = 1
	warm := false
	for {
		trial := what.work(count)
		if warm && trial.seconds >= wanted/2 {
			return trial
		}
		warm = trial.seconds >= wanted/10
		factor := 100.0
		if warm {
			factor = wanted / trial.seconds
		} else if trial.seconds > 0 && wanted/5/trial.seconds < factor {
			factor = wanted / 5 / trial.seconds
			if factor < 2 {
				factor = 2
			}
		}
		count = uint64(float64(trial.operations) * factor)
		if count < 1 {
			count = 1
		}
	}
}

func printSample(fullName string, what row, procs int, found sample) {
	fmt.Printf("{\"row\":\"%s\",\"unit\":\"%s\",\"value\":%.9g,\"count\":%d,\"seconds\":%.6g,\"procs\":%d", fullName,
		what.unit, found.value, found.operations, found.seconds, procs)
	for _, one := range found.details {
		fmt.Printf(",\"%s\":%.9g", one.key, one.value)
	}
	fmt.Println("}")
}

// quantile sorts the values and returns the one at the share (0 to 1).
func quantile(values []time.Duration, share float64) time.Duration {
	require(len(values) > 0, "no values to take a quantile of")
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	return values[int(share*float64(len(values)-1)+0.5)]
}

// memoryUse reads VmRSS and VmPTE of this process, in bytes.
func memoryUse() (resident, pageTables float64) {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		require(false, err.Error())
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		kibibytes, _ := strconv.ParseFloat(words[1], 64)
		switch words[0] {
		case "VmRSS:":
			resident = kibibytes * 1024
		case "VmPTE:":
			pageTables = kibibytes * 1024
		}
	}
	return resident, pageTables
}
