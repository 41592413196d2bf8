// bench_go: the rows of the benchmarks in Go, written as one writes Go, with its standard library alone.
//
// Each row does the same work as the function of the same row in bench/rt. The command line, the calibration and the
// line of JSON are those of bench/common/program.h.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

type row struct {
	name       string // without the suffix of the processors
	unit       string
	work       func(count uint64) sample
	fixedCount uint64 // the count when none is asked for; 0: calibrated
	procs      int    // processors when the name of the row does not say
}

var rows = []row{
	{"yield", "ns", yield, 0, 2},
	{"chan_unbuffered", "ns", chanUnbuffered, 0, 2},
	{"spawn", "ns", spawn, 0, 2},
	{"spawn_batch", "ns", spawnBatch, 0, 2},
	{"chan_buffered", "ns", chanBuffered, 0, 2},
	{"chan_contended", "ns", chanContended, 0, 2},
	{"select2", "ns", select2, 0, 2},
	{"mutex_uncontended", "ns", mutexUncontended, 0, 2},
	{"mutex_16", "ns", mutex16, 0, 2},
	{"timer_arm_stop", "ns", timerArmStop, 0, 2},
	{"timer_1m_arm_stop", "ns", timer1mArmStop, 0, 2},
	{"timer_reset_stop", "ns", timerResetStop, 0, 2},
	{"sleep_50us", "us", sleep50us, 0, 1},
	{"skynet_100k", "ms", skynet100k, 0, 2},
	{"skynet_1m", "ms", skynet1m, 0, 2},
	{"hog_pingpong", "us", hogPingpong, 0, 2},
	{"hog_light", "us", hogLight, 2000, 2},
	{"loop_beside", "ratio", loopBeside, 2000, 2},
	{"block_beside", "ratio", blockBeside, 2000, 2},
	{"scale_yield", "ns", scaleYield, 1000, 2},
	{"scale_chan", "ns", scaleChan, 1000, 2},
	{"scale_spawn", "ns", scaleSpawn, 1000, 2},
	{"alloc_32", "ns", alloc32, 30_000_000, 1},
	{"alloc_1k", "ns", alloc1k, 4_000_000, 1},
	{"binary_trees", "ms", binaryTrees, 200, 2},
	{"full_collection", "ms", fullCollection, 10, 2},
	{"mark_rate", "MB/s", markRate, 10, 1},
	{"barrier_off", "ns", barrierOff, 0, 1},
	{"barrier_on", "ns", barrierOn, 10_000_000, 2},
	{"gc_pause", "us", gcPause, 10, 2},
	{"gc_pause_loop", "us", gcPauseLoop, 10, 2},
	{"churn", "ratio", churn, 12, 2},
	{"spike", "bytes", spike, 512, 2},
	{"parked_1m", "s", parked, 1_000_000, 2},
	{"stackless_1m", "s", parked, 1_000_000, 2},
}

// split takes "yield_2p" for the row yield on two processors; "yield" leaves the choice to the row (0).
func split(full string) (base string, procs int) {
	underscore := strings.LastIndexByte(full, '_')
	if underscore >= 0 && strings.HasSuffix(full, "p") {
		procs, err := strconv.Atoi(full[underscore+1 : len(full)-1])
		if err == nil && procs >= 1 && procs <= 256 {
			return full[:underscore], procs
		}
	}
	return full, 0
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: bench_go ROW COUNT   (COUNT 0: as many as fill BENCH_SECONDS)")
	fmt.Fprintln(os.Stderr, "       bench_go echo_server PORT   (PORT 0: any free one)")
	fmt.Fprintln(os.Stderr, "       bench_go --version")
	fmt.Fprint(os.Stderr, "rows, each also with _1p or _2p for its processors:")
	for _, one := range rows {
		fmt.Fprint(os.Stderr, " ", one.name)
	}
	fmt.Fprintln(os.Stderr)
	os.Exit(2)
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Printf("{\"version\":%q,\"compiler\":%q,\"optimized\":true,\"sanitized\":false}\n", runtime.Version(),
			runtime.Compiler)
		return
	}
	if len(os.Args) != 3 {
		usage()
	}
	full := os.Args[1]
	count, err := strconv.ParseUint(os.Args[2], 10, 64)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench_go: '%s' is not a count (a whole number, 0 to let the program choose)\n", os.Args[2])
		usage()
	}
	if full == "echo_server" {
		serveEcho(count)
		return
	}
	base, procs := split(full)
	for _, one := range rows {
		if one.name == base {
			if procs == 0 {
				procs = one.procs
			}
			runtime.GOMAXPROCS(procs)
			printSample(full, one, procs, measure(one, count))
			return
		}
	}
	fmt.Fprintf(os.Stderr, "bench_go: no row '%s'\n", full)
	usage()
}
