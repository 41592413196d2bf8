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
	{"timer_reset_stop", "ns", timerResetStop, 0, 2},
	{"sleep_50us", "us", sleep50us, 0, 1},
	{"skynet_100k", "ms", skynet100k, 0, 2},
	{"parked_1m", "s", parked, 1_000_000, 2},
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
