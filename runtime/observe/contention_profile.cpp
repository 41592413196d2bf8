// The two profiles of contention.
#include "rt/profile.h"
#include "runtime/observe/stack_table.h"
#include "runtime/os/clock.h"
#include "runtime/sync/contention.h"

namespace rt {

namespace detail {

namespace {

// The hook, which calls own_frames, and the function of contention.cpp that calls it.
constexpr std::size_t frames_of_the_hook = 2;

struct contention_figures {
  double count = 0;
  double cycles = 0;
};

class contention_table {
 public:
  void prepare() { table_.prepare(); }

  __attribute__((always_inline)) void note(double count, double cycles) noexcept {
    table_.note(frames_of_the_hook, [&](contention_figures& one) {
      one.count += count;
      one.cycles += cycles;
    });
  }

  std::vector<contention_record> read() {
    std::vector<contention_record> result;
    table_.for_each([&](const auto& one) {
      if (one.figures.count == 0) return;
      contention_record copy;
      copy.count = one.figures.count;
      copy.waited =
          std::chrono::nanoseconds(static_cast<std::int64_t>(one.figures.cycles / os::cycles_per_nanosecond()));
      copy.task.assign(one.task, one.task_size);
      copy.frames.assign(one.frames, one.frames + one.depth);
      result.push_back(std::move(copy));
    });
    return result;
  }

 private:
  stack_table<contention_figures> table_;
};

contention_table mutexes;
contention_table blocks;

}  // namespace

}  // namespace detail

int set_mutex_profile_fraction(int rate) {
  if (rate < 0) return static_cast<int>(detail::mutex_profile_fraction.load(std::memory_order_relaxed));
  if (rate > 0) {
    detail::mutexes.prepare();
    detail::on_mutex_contention.store([](double count, double cycles) noexcept { detail::mutexes.note(count, cycles); },
                                      std::memory_order_release);  // pairs with note_unlock
  }
  return static_cast<int>(
      detail::mutex_profile_fraction.exchange(static_cast<std::uint64_t>(rate), std::memory_order_release));
}

void set_block_profile_rate(std::chrono::nanoseconds rate) {
  std::uint64_t cycles = 0;
  if (rate.count() > 0) {
    detail::blocks.prepare();
    detail::on_block.store(
        [](double count, double cycles_waited) noexcept { detail::blocks.note(count, cycles_waited); },
        std::memory_order_release);  // pairs with note_block
    cycles = static_cast<std::uint64_t>(static_cast<double>(rate.count()) * os::cycles_per_nanosecond());
    if (cycles == 0) cycles = 1;
  }
  detail::block_profile_rate.store(cycles, std::memory_order_release);
}

std::vector<contention_record> mutex_profile() { return detail::mutexes.read(); }
std::vector<contention_record> block_profile() { return detail::blocks.read(); }

}  // namespace rt
