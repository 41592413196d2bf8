// stress: loads the scheduler at given rates, and checks that nothing is lost meanwhile.
//
// Three generators start green threads, sleeps and messages. At the end of the duration they stop, what is under way
// is waited for, and then all that was started must have ended: if it did not, the task fails.
#include <rt/rt.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace {

// Something that is begun and ends: a count of each.
struct pair_of_counts {
  std::atomic<std::int64_t> begun{0};
  std::atomic<std::int64_t> ended{0};
  std::string text() const { return std::to_string(begun) + " and " + std::to_string(ended); }
};

struct totals {
  pair_of_counts spawns;
  pair_of_counts sleeps;
  pair_of_counts messages;
  pair_of_counts parked;
  std::atomic<std::int64_t> out_of_order{0};

  std::string text() const {
    return "spawned and ended " + spawns.text() + ", sleeps begun and ended " + sleeps.text() +
           ", messages sent and received " + messages.text() + ", parked and released " + parked.text();
  }
  bool balanced() const {
    for (const pair_of_counts* each : {&spawns, &sleeps, &messages, &parked}) {
      if (each->begun != each->ended) return false;
    }
    return out_of_order == 0;
  }
};

// Shows a growing number as a counter.
class shown_count {
 public:
  shown_count(const rt::task& self, const char* name, const char* help, const std::atomic<std::int64_t>& count)
      : counter_(self.counter(name, help)), count_(count) {}
  void update() {
    std::int64_t now = count_;
    counter_.add(static_cast<double>(now - shown_));
    shown_ = now;
  }

 private:
  rt::counter counter_;
  const std::atomic<std::int64_t>& count_;
  std::int64_t shown_ = 0;
};

double rate_param(const rt::task& self, const char* key, double fallback) {
  constexpr double most = 10'000'000;
  double rate = self.param_double(key, fallback);
  if (rate < 0 || rate > most) {
    throw rt::bad_parameter("parameter \"" + std::string(key) + "\" is \"" + self.param(key, "") +
                            "\", but must be a number from 0 (none) to 10000000 a second");
  }
  return rate;
}

// Calls `once` at `rate` times a second until `end`, in batches of a millisecond. A generator that is held up catches
// up with what is due, but with no more than a second's worth.
template <class Once>
void at_rate(double rate, rt::time_point end, Once once) {
  constexpr auto batch = std::chrono::milliseconds(1);
  rt::time_point begin = rt::now();
  double done = 0;
  for (rt::time_point now = begin; rate > 0 && now < end; now = rt::now()) {
    double due = std::chrono::duration<double>(now - begin).count() * rate;
    done = std::max(done, due - rate);
    for (; done < due; done += 1) once();
    rt::sleep_for(batch);
  }
}

void receive(const rt::chan<std::int64_t>& channel, totals& counts) {
  std::int64_t last = 0;
  for (std::int64_t value : channel) {
    if (value != last + 1) ++counts.out_of_order;
    last = value;
    ++counts.messages.ended;
  }
}

void run(rt::task& self) {
  double spawns = rate_param(self, "spawns_per_second", 1000);
  double sleeps = rate_param(self, "sleeps_per_second", 1000);
  double messages = rate_param(self, "messages_per_second", 10'000);
  std::int64_t parked = self.param_int("parked", 0, 0, 2'000'000);
  rt::duration length = self.param_duration("duration", rt::duration(0));
  rt::time_point end = length > rt::duration(0) ? rt::now() + length : rt::time_point::max();

  totals counts;
  shown_count shown[] = {
      {self, "stress_spawned_total", "Green threads that were started and have ended.", counts.spawns.ended},
      {self, "stress_sleeps_total", "Sleeps that have ended.", counts.sleeps.ended},
      {self, "stress_messages_total", "Messages that went through the channel.", counts.messages.ended}};
  auto show = [&] {
    for (shown_count& each : shown) each.update();
    self.set_status(std::to_string(counts.spawns.ended) + " spawned, " + std::to_string(counts.sleeps.ended) +
                    " sleeps, " + std::to_string(counts.messages.ended) + " messages, " +
                    std::to_string(counts.parked.begun - counts.parked.ended) + " parked");
  };
  rt::chan<std::int64_t> channel(128);
  rt::chan<int> gate;
  rt::scope scope;
  for (std::int64_t i = 0; i < parked; ++i) {
    ++counts.parked.begun;
    scope.go({.stack_size = 64 * 1024, .name = "parked"}, [&] {
      gate.recv();
      ++counts.parked.ended;
    });
  }
  scope.go([&] {
    at_rate(spawns, end, [&] {
      ++counts.spawns.begun;
      scope.go([&] { ++counts.spawns.ended; });
    });
  });
  scope.go([&] {
    at_rate(sleeps, end, [&] {
      ++counts.sleeps.begun;
      scope.go([&] {
        rt::sleep_for(std::chrono::milliseconds(1));
        ++counts.sleeps.ended;
      });
    });
  });
  scope.go([&] {
    at_rate(messages, end, [&] { channel.send(++counts.messages.begun); });
    channel.close();
  });
  scope.go([&] { receive(channel, counts); });

  scope.go([&] {
    while (rt::now() < end) {
      rt::sleep_for(std::min<rt::duration>(std::chrono::milliseconds(200), end - rt::now()));
      show();
    }
    gate.close();
  });
  scope.wait();  // throws what one of them threw: that no stack could be had, say
  show();
  if (!counts.balanced()) {
    throw std::runtime_error("something was lost: " + counts.text() + ", messages out of order " +
                             std::to_string(counts.out_of_order));
  }
  self.info(counts.text());
}

}  // namespace

RT_PLUGIN("stress", "1.0.0", "Spawns, sleeps and channel messages at given rates")
RT_ENTRY(run,
         "Loads the scheduler; params: spawns_per_second, sleeps_per_second, messages_per_second, parked, duration")
