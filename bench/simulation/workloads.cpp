#include "bench/simulation/workloads.h"

#include <algorithm>
#include <cmath>
#include <deque>

namespace bench_simulation {

namespace {

using what = action::what;

/// What all workloads share: the memory of their tasks, and figures of their own.
class workload_base : public workload {
 public:
  virtual void report(run_result& /*found*/) {}

 protected:
  task& make(int kind) {
    tasks_.emplace_back();
    tasks_.back().kind = kind;
    return tasks_.back();
  }
  std::deque<task> tasks_;
};

class spawner final : public workload_base {
 public:
  explicit spawner(int cores) : count_(200 * cores) {}
  task* first() override { return &make(0); }
  action next(model& /*machine*/, task& one, int /*core*/) override {
    if (one.kind == 0) {
      if (one.stage++ < count_) return {what::spawn, 0, &make(1)};
      return {what::end};
    }
    if (one.stage++ == 0) return {what::work, 10'000};
    return {what::end};
  }

 private:
  int count_;
};

class tree final : public workload_base {
 public:
  explicit tree(int cores) : leaves_(512U * static_cast<unsigned>(cores)) {}
  task* first() override {
    task& root = make(0);
    root.size = leaves_;
    return &root;
  }
  action next(model& /*machine*/, task& one, int /*core*/) override {
    if (one.size == 1) {
      if (one.stage == 0) {
        one.stage = 1;
        return {what::work, 2'000};
      }
    } else if (one.stage < 2) {
      task& child = make(0);
      child.size = one.stage == 0 ? one.size / 2 : one.size - one.size / 2;
      child.parent = &one;
      one.children_left += one.stage == 0 ? 2 : 0;
      ++one.stage;
      return {what::spawn, 0, &child};
    } else if (one.children_left > 0) {
      return {what::park};
    }
    // Done: the last child wakes the parent.
    if (one.stage < 3) {
      one.stage = 3;
      if (one.parent != nullptr && --one.parent->children_left == 0) return {what::wake, 0, one.parent};
    }
    return {what::end};
  }

 private:
  std::uint64_t leaves_;
};

class pairs final : public workload_base {
 public:
  explicit pairs(int cores) : count_(cores) {}
  task* first() override { return &make(0); }
  action next(model& machine, task& one, int core) override {
    if (one.kind == 0) {
      if (one.stage == 2 * count_) return {what::end};
      task& fresh = make(1);
      if (one.stage++ % 2 == 1) {
        task& partner = tasks_[tasks_.size() - 2];
        fresh.partner = &partner;
        partner.partner = &fresh;
        fresh.kind = 2;
      }
      return {what::spawn, 0, &fresh};
    }
    // Kind 2 begins: it wakes its partner and parks; kind 1 parks first.
    if (one.stage++ % 2 == (one.kind == 2 ? 0 : 1)) {
      if (one.kind == 2 && begun_at_ > 0 && machine.now(core) > begun_at_) ++round_trips_;
      return {what::wake, 0, one.partner};
    }
    return {what::park};
  }
  bool over(const model& machine, double now) override {
    const bool spread = machine.cores_used() == machine.cores() || now > longest_wait * count_;
    if (begun_at_ == 0 && spread) begun_at_ = now;
    return begun_at_ > 0 && now > begun_at_ + length;
  }
  void report(run_result& found) override {
    found.details = {{"round_trips_us", static_cast<double>(round_trips_) / (length / 1e3)}};
  }

 private:
  static constexpr double length = 300'000;
  static constexpr double longest_wait = 50'000;  // for each core, until it has a pair
  int count_;
  double begun_at_ = 0;
  std::uint64_t round_trips_ = 0;
};

class arrivals final : public workload_base {
 public:
  arrivals(int cores, std::uint64_t seed) : rate_(0.6 * cores / work), random_(seed * 0x9e3779b97f4a7c15U | 1) {}
  task* first() override { return nullptr; }
  task* arrival(double& when) override {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    const double uniform = (static_cast<double>(random_ >> 11) + 0.5) / 9007199254740992.0;  // 2^53
    at_ += -std::log(uniform) / rate_;
    if (at_ > length) return nullptr;
    when = at_;
    return &make(1);
  }
  action next(model& machine, task& one, int core) override {
    if (one.stage++ > 0) return {what::end};
    waits_.push_back(machine.now(core) - one.ready_at);
    return {what::work, work};
  }
  void report(run_result& found) override {
    std::sort(waits_.begin(), waits_.end());
    auto share = [&](double part) { return waits_[static_cast<std::size_t>(part * double(waits_.size() - 1))] / 1e3; };
    found.details = {{"wait_p50_us", share(0.5)}, {"wait_p99_us", share(0.99)}};
  }

 private:
  static constexpr double work = 1'000;
  static constexpr double length = 2'000'000;
  double rate_;
  std::uint64_t random_;
  double at_ = 0;
  std::vector<double> waits_;
};

std::unique_ptr<workload_base> make(std::string_view name, int cores, std::uint64_t seed) {
  if (name == "spawner") return std::make_unique<spawner>(cores);
  if (name == "tree") return std::make_unique<tree>(cores);
  if (name == "pairs") return std::make_unique<pairs>(cores);
  return std::make_unique<arrivals>(cores, seed);
}

}  // namespace

bool is_workload(std::string_view name) noexcept {
  return std::find(std::begin(workload_names), std::end(workload_names), name) != std::end(workload_names);
}

run_result simulate(std::string_view name, int cores, const costs& price, std::uint64_t seed, policy rules) {
  std::unique_ptr<workload_base> work = make(name, cores, seed);
  model machine(cores, price, seed, rules);
  run_result found;
  found.counted = machine.run(*work);
  if (found.counted.time > 0) found.utilisation = found.counted.worked / (found.counted.time * cores);
  work->report(found);
  return found;
}

}  // namespace bench_simulation
