// The tests of the heap are its collector themselves: the real one hears of nothing, and so begins no cycle.
#include <gtest/gtest.h>

#include "rt/gc.h"
#include "runtime/heap/heap.h"
#include "tests/runtime/in_runtime.h"

namespace {

class without_collector : public testing::Environment {
  void SetUp() override {
    static const rt::detail::collector_hooks none;
    rt_test::in_runtime(1, [] {});  // the first run brings the real one's hooks
    rt::detail::set_collector_hooks(none);
    rt::set_gc_percent(rt::gc_off);
  }
};

const testing::Environment* const added = testing::AddGlobalTestEnvironment(new without_collector);

}  // namespace
