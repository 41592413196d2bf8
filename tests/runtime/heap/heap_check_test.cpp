// The check of the heap finds nothing in a sound heap (every cycle of these tests asks it, pretend_collector.h), and
// each thing that is made wrong in it.
#include "runtime/heap/heap_check.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "rt/make.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/heap/pretend_collector.h"
#include "tests/runtime/in_runtime.h"
#include "tests/runtime/sched/groups.h"

namespace rt::detail {
namespace {

// What is found at the begin of a marking between `damage` and `repair`.
std::string fault_with(const std::function<void()>& damage, const std::function<void()>& repair) {
  char text[320] = "";
  rt_test::finish_sweep();
  rt_test::with_world_stopped([&] {
    heap_state& heap = the_heap();
    begin_mark();
    damage();
    {
      os::spin_guard owners_guard(heap.owners_lock);
      os::spin_guard outside_guard(heap.outside_lock);
      if (!find_heap_fault(heap, text, sizeof text)) text[0] = '\0';
    }
    repair();
    rt_test::mark_all();
    end_mark();
  });
  rt_test::finish_sweep();
  return text;
}

template <class Value>
std::string fault_when_changed(std::atomic<Value>& one, Value by) {
  return fault_with([&] { one.store(static_cast<Value>(one.load() + by)); },
                    [&] { one.store(static_cast<Value>(one.load() - by)); });
}

class heap_checks : public testing::Test {
 protected:
  // `body` with a span of some full ones and some that are not.
  template <class Body>
  void run(const Body& body) {
    rt_test::in_runtime(2, [&] {
      rt_test::test_group group("examined");
      span* in = nullptr;
      group.go([&] {
        for (int i = 0; i < 1000; ++i) {
          void* object = allocate(96, 8, span_kind::scanned);
          if (i == 500) in = span_of(reinterpret_cast<std::uintptr_t>(object));
        }
        static_cast<void>(allocate(100'000, 8, span_kind::plain));
      });
      group.wait();
      ASSERT_EQ(fault_with([] {}, [] {}), "");
      body(*in, *group.of.heap.get());
      ASSERT_EQ(fault_with([] {}, [] {}), "") << "the test has mended what it has damaged";
    });
    rt_test::in_runtime(1, [] { rt_test::collect({}); });
  }
};

using testing::HasSubstr;

TEST_F(heap_checks, an_entry_of_a_page) {
  run([](span& one, heap_owner&) {
    std::atomic<std::uint64_t>& entry = the_layout.entries[one.first_page()];
    const std::uint64_t right = entry;
    auto repair = [&] { entry.store(right); };
    EXPECT_THAT(fault_with([&] { entry.store(page_entry(one.first_page(), 3, span_kind::plain).bits()); }, repair),
                HasSubstr("entry says otherwise"));
    EXPECT_THAT(fault_with([&] { entry.store(page_entry(one.first_page() + 1, 3, span_kind::plain).bits()); }, repair),
                HasSubstr("does not reach to it"));
  });
}

TEST_F(heap_checks, what_a_span_says_of_itself) {
  run([](span& one, heap_owner&) {
    EXPECT_THAT(fault_when_changed(one.page_count, 1U), HasSubstr("wrong length"));
    EXPECT_THAT(fault_when_changed(one.generation, 2U), HasSubstr("not swept"));
    EXPECT_THAT(fault_when_changed<std::uint16_t>(one.free_index, 5000), HasSubstr("more than it has"));
    const span_place place = one.place;
    EXPECT_THAT(fault_with([&] { one.place = span_place::cached; }, [&] { one.place = place; }),
                HasSubstr("in no list"));
    heap_owner* const owner = one.owner;
    EXPECT_THAT(fault_with([&] { one.owner = nullptr; }, [&] { one.owner = owner; }), HasSubstr("belongs to nobody"));
    EXPECT_THAT(fault_with([&] { one.owner = &orphans(); }, [&] { one.owner = owner; }), HasSubstr("somebody else"));
  });
}

TEST_F(heap_checks, what_the_last_sweep_has_counted) {
  run([](span& one, heap_owner&) {
    ASSERT_EQ(one.free_index, 0);
    EXPECT_THAT(fault_when_changed<std::uint16_t>(one.live_at_sweep, 1), HasSubstr("its last sweep has counted"));
    EXPECT_THAT(fault_with([&] { one.in_use[0] ^= 1; }, [&] { one.in_use[0] ^= 1; }),
                HasSubstr("its last sweep has counted"));
  });
}

TEST_F(heap_checks, lists) {
  run([](span& one, heap_owner& owner) {
    span_lists& lists = owner.lists(lists_of(one));
    auto change = [&](const auto& act) {
      os::spin_guard guard(lists.lock);
      act(the_heap().parity());
    };
    auto as_unswept = [&] { change([&](std::size_t now) { std::swap(lists.full[now], lists.full[now ^ 1]); }); };
    EXPECT_THAT(fault_with(as_unswept, as_unswept), HasSubstr("unswept ones"));
    auto as_partial = [&] { change([&](std::size_t now) { std::swap(lists.full[now], lists.partial[now]); }); };
    EXPECT_THAT(fault_with(as_partial, as_partial), HasSubstr("listed as"));
    std::uint32_t rest = 0;
    auto cut = [&] { change([&](std::size_t now) { rest = std::exchange(lists.full[now], 0U); }); };
    auto join = [&] { change([&](std::size_t now) { lists.full[now] = rest; }); };
    EXPECT_THAT(fault_with(cut, join), testing::AnyOf(HasSubstr("by its figures"), HasSubstr("are in lists")));
    EXPECT_THAT(fault_when_changed(one.previous, 1U), HasSubstr("another one before it"));
  });
}

TEST_F(heap_checks, figures) {
  run([](span& one, heap_owner& owner) {
    span_lists& lists = owner.lists(lists_of(one));
    EXPECT_THAT(fault_when_changed<std::uint64_t>(lists.freed, 1), HasSubstr("by its figures"));
    EXPECT_THAT(fault_when_changed<std::uint64_t>(lists.allocated, 1), HasSubstr("by its figures"));
    EXPECT_THAT(fault_with([&] { owner.discharge(1); }, [&] { static_cast<void>(owner.charge(1)); }),
                HasSubstr("is charged with"));
    EXPECT_THAT(fault_when_changed<std::uint64_t>(the_heap().span_count, 1), HasSubstr("were counted"));
    EXPECT_THAT(fault_when_changed<std::uint64_t>(the_heap().span_pages, 1), HasSubstr("were counted"));
  });
}

TEST_F(heap_checks, pages_that_are_free_as_well) {
  run([](span& one, heap_owner&) {
    page_cache& cache = the_heap().places[7].cache;  // of no P
    auto take_in = [&] {
      cache.first = one.first_page() / 64 * 64;
      cache.free = std::uint64_t{1} << one.first_page() % 64;
    };
    EXPECT_THAT(fault_with(take_in, [&] { cache = {}; }), HasSubstr("is in a span, and free for P 7"));
    EXPECT_THAT(fault_with([&] { cache.released = 1; }, [&] { cache = {}; }), HasSubstr("does not have"));
  });
}

TEST(heap_checks_death, the_beginning_of_a_marking_ends_the_process) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(rt_test::in_runtime(1,
                                   [] {
                                     void* object = allocate(64, 8, span_kind::scanned);
                                     span& in = *span_of(reinterpret_cast<std::uintptr_t>(object));
                                     in.page_count = 7;
                                     rt_test::begin_mark();
                                   }),
               "gccheckheap: the span of pages .* has a wrong length");
}

}  // namespace
}  // namespace rt::detail
