// What the entries of the tour share: their lines and their figures.
#pragma once

#include <rt/rt.h>

#include <cstdint>

namespace tour {

/// Writes a line to the task's log, as printf would.
[[gnu::format(printf, 2, 3)]] void say(const rt::task& self, const char* format, ...);
/// The same at the level of a warning.
[[gnu::format(printf, 2, 3)]] void warn(const rt::task& self, const char* format, ...);

inline double milliseconds(rt::duration length) { return std::chrono::duration<double, std::milli>(length).count(); }
inline double milliseconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-6; }
inline double kibibytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1024; }

/// The last pause of the collector, in nanoseconds; 0 before the first collection.
inline std::uint64_t last_pause(const rt::mem_stats& now) {
  return now.num_gc == 0 ? 0 : now.pause_ns[(now.num_gc + 255) % 256];
}

/// Sets the number of processors for a block. They are those of the whole sandbox, so the number before comes back.
class with_processors {
 public:
  explicit with_processors(int count) : before_(rt::max_procs(count)) {}
  ~with_processors() { rt::max_procs(before_); }
  with_processors(const with_processors&) = delete;
  with_processors& operator=(const with_processors&) = delete;

 private:
  int before_;
};

}  // namespace tour
