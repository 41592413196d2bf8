// RT_DEBUG=gcverifyrefs finds references that keep nothing alive, and no others.
#include "runtime/gc/slot_check.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "rt/rt.h"
#include "tests/runtime/death_tests.h"
#include "tests/runtime/in_runtime.h"

namespace {

struct leaf {
  int value = 1;
};
struct pair {
  rt::ref<leaf> first;
};
struct says_none {
  rt::ref<leaf> first;
};

rt::ref<leaf> global;

void with_checks(const std::function<void()>& body) {
  setenv("RT_DEBUG", "gcverifyrefs", 1);
  rt_test::in_runtime(2, body);
  unsetenv("RT_DEBUG");
}

TEST(slot_check, places_that_are_seen) {
  with_checks([] {
    rt::ref<leaf> local = rt::make<leaf>();
    global = local;
    rt::make<pair>()->first = local;
    rt::vector<rt::ref<leaf>> all{local, local};
    rt::map<int, rt::ref<leaf>> numbered;
    numbered[1] = local;
    rt::wait_group done;
    done.add();
    rt::go([own = local, &local, &done] {
      local = own;
      done.done();
    });
    done.wait();
    rt::chan<rt::ref<leaf>> values(1);
    values.send(local);
    static rt::local<rt::ref<leaf>> of_thread;
    *of_thread = local;
    try {
      throw pair{local};
    } catch (const pair& caught) {
      EXPECT_EQ(caught.first->value, 1);
    }
    auto kept = std::make_unique<rt::root<leaf>>(local.get());
    rt::gc();
    EXPECT_EQ((*kept)->value, 1);
    auto empty = std::make_unique<rt::ref<leaf>>();  // refers to nothing
    *empty = nullptr;
    global = nullptr;
  });
}

TEST(slot_check_death, memory_of_malloc) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(with_checks([] { auto lost = std::make_unique<rt::ref<leaf>>(rt::make<leaf>()); }),
               "gcverifyrefs: the rt::ref at .* does not see .*rt::root");
  EXPECT_DEATH(with_checks([] { std::vector<rt::ref<leaf>> lost(1, rt::make<leaf>()); }), "instead of the container");
}

}  // namespace

template <>
inline constexpr bool rt::noscan<says_none> = true;

namespace {

TEST(slot_check_death, objects_that_are_not_looked_into) {
  rt_test::prepare_death_test();
  EXPECT_DEATH(with_checks([] { rt::make<says_none>()->first = rt::make<leaf>(); }), "take the rt::noscan");
}

}  // namespace
