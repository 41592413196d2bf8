// Profiles of waiting (where green threads wait for each other, and whose unlocks they wait for) and of the collected
// heap (who has allocated what).
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace rt {

/// One place of a profile: all events with the same stack, in the same task. As in Go, what is not measured is made up
/// for, so numbers and times are estimates of all events since the profile was turned on, and not whole numbers.
struct contention_record {
  double count = 0;                    ///< events
  std::chrono::nanoseconds waited{0};  ///< how long they took together
  std::string task;                    ///< empty outside of tasks
  std::vector<void*> frames;           ///< return addresses, innermost first, 32 at most; empty for the rest (below)
};

/// From now on one in `rate` contended unlocks of rt::mutex and rt::shared_mutex is noted; 0 turns that off (as it is
/// at the start), a negative number changes nothing. Returns the rate before. What has been noted is kept. Any thread;
/// takes 1.4 MB of address space the first time. After Go's SetMutexProfileFraction. @throws std::bad_alloc
int set_mutex_profile_fraction(int rate);

/// From now on waits for other green threads (channels, select, mutexes, conditions, wait groups, semaphores, once,
/// scopes) are noted: all that take `rate` or longer, and of shorter ones as many as make one for each `rate` that they
/// take together. 1 ns notes all; 0 turns it off (as it is at the start). What has been noted is kept. Any thread;
/// takes 1.4 MB of address space the first time. After Go's SetBlockProfileRate. @throws std::bad_alloc
void set_block_profile_rate(std::chrono::nanoseconds rate);

/// Who made others wait: stacks of unlocks, with the time that all waiters of the mutex together had waited since it
/// was unlocked the last time. Any thread, at any time; stops nothing. Of more than 3072 different places the rest are
/// one record without frames, as are unlocks by threads that are none of the runtime's. @throws std::bad_alloc
std::vector<contention_record> mutex_profile();

/// Who waited: stacks of waits that are over, with the time that they took. As mutex_profile otherwise.
std::vector<contention_record> block_profile();

/// One place of the heap profile: all objects that were allocated with the same stack, in the same task. Numbers and
/// bytes are estimates from samples, and not whole numbers; bytes are those of slots, so what rounding up costs counts.
struct heap_record {
  double in_use_objects = 0;  ///< not found dead by the last completed collection, and allocated before it
  double in_use_bytes = 0;
  double allocated_objects = 0;  ///< until the last completed collection, since the profile was turned on
  double allocated_bytes = 0;
  std::string task;           ///< empty outside of tasks
  std::vector<void*> frames;  ///< return addresses, innermost first, 32 at most; empty for the rest (mutex_profile)
};

/// From now on an allocation on the collected heap is noted for each `bytes` bytes allocated, on average, at random: a
/// large object always, of small ones a few, each of which stands for the others. 1 notes each object, 0 none. What has
/// been noted is kept. Returns the rate before. While rt::run runs it is 512 KiB unless it was set before; that costs
/// nothing that can be measured, as the way of an allocation is no longer by it. Any thread; stops all others for some
/// microseconds, and takes 2.1 MB of address space the first time. After Go's MemProfileRate. @throws std::bad_alloc
std::size_t set_heap_profile_rate(std::size_t bytes);

/// Who has allocated what there is, and all that there was. As in Go all figures are of the last collection that is
/// complete: what was allocated since does not count yet, and what became garbage since counts still. So call rt::gc()
/// before for what there is now. Some objects that are found dead go one collection later, namely those that lie beside
/// new ones; those whose destructor is not called yet count as gone. Any thread, at any time; stops nothing. Stacks and
/// places as mutex_profile. @throws std::bad_alloc
std::vector<heap_record> heap_profile();

}  // namespace rt
