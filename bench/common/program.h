// What every benchmark program in C++ shares: its command line, its clock, its calibration and its result line.
//
// A program offers rows. `PROGRAM ROW COUNT` performs row ROW with COUNT operations and prints one line of JSON; COUNT
// 0 lets the program find the count that makes one measure last about BENCH_SECONDS (0.4 when the variable is not set).
// ROW may end in _1p, _2p …: the number of processors (or kernel threads) that the work gets.
// `PROGRAM echo_server PORT` serves TCP echo until its standard input ends; `PROGRAM --version` describes the build.
//
// Finding the count doubles as the warm-up: the row has run for a tenth of the time or more before the measure starts.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

/// What one measure found.
struct sample {
  std::uint64_t operations = 0;                           ///< done within the measured time
  double seconds = 0;                                     ///< the measured time
  double value = 0;                                       ///< the row's figure, in the row's unit
  std::vector<std::pair<std::string, double>> details{};  ///< further figures of the same measure
};

/// One thing that the program can measure.
struct row {
  std::string_view name;                ///< without the suffix of the processors
  std::string_view unit;                ///< of sample::value
  sample (*work)(std::uint64_t count);  ///< does at least `count` operations; called inside the runtime
  std::uint64_t fixed_count = 0;        ///< the count when none is asked for; 0: calibrated
  int procs = 2;                        ///< processors when the name of the row does not say
};

/// A benchmark program.
struct program {
  std::string name;     ///< "bench_rt"
  std::string version;  ///< of the runtime that it measures
  std::vector<row> rows;
  /// Starts the runtime with `procs` processors, calls `body` in it, and returns when all has ended.
  /// Null when there are no rows.
  void (*inside)(int procs, const std::function<void()>& body) = nullptr;
  /// Serves TCP echo on a loopback port (0: any), announces it by announce_port and returns when standard input ends.
  /// Null when the runtime has no sockets.
  void (*serve_echo)(int port) = nullptr;
};

/// The main function of a benchmark program. Returns the exit status: 0, 1 when the row failed, 2 for bad arguments.
int main_of(const program& what, int argument_count, char** arguments);

/// Nanoseconds of the monotonic clock.
std::int64_t now_ns() noexcept;
/// A sample whose value is nanoseconds per operation.
sample per_operation(std::uint64_t operations, std::int64_t nanoseconds);
/// Ends the process with status 1 and `what` on standard error unless `holds`: a result that is wrong must not count.
void require(bool holds, std::string_view what);
/// The element at `share` (0 to 1) of the values, which get sorted.
std::int64_t quantile(std::vector<std::int64_t>& values, double share);

/// Memory of this process in bytes, from /proc/self/status.
struct memory_use {
  double resident = 0;     ///< VmRSS
  double page_tables = 0;  ///< VmPTE
};
memory_use read_memory_use();

/// CPUs that this process may run on.
int usable_cpus() noexcept;
/// Raises the soft limit of open descriptors to the hard one.
void raise_descriptor_limit() noexcept;
/// Prints {"listening": PORT}, which the one who started the server waits for.
void announce_port(int port);
/// Blocks the kernel thread until standard input ends.
void wait_for_end_of_input() noexcept;

}  // namespace bench
