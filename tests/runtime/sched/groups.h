// A group of green threads, as a task has one.
#pragma once

#include <string>
#include <utility>

#include "rt/go.h"
#include "rt/time.h"
#include "runtime/sched/group.h"
#include "tests/runtime/in_runtime.h"

namespace rt_test {

struct test_group {
  explicit test_group(std::string name, std::uint32_t weight = rt::detail::default_weight,
                      rt::detail::share_class kind = rt::detail::share_class::normal)
      : of(std::move(name)) {
    of.set_share(weight, kind);
  }
  ~test_group() { wait(); }
  template <class Function>
  void go(Function&& function) {
    rt::detail::spawn(&of.domain, rt::go_options{}, std::forward<Function>(function));
  }
  void wait() { EXPECT_TRUE(of.wait_until_at_most(0, INT64_MAX)); }
  rt::detail::group of;
};

}  // namespace rt_test
