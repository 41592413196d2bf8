#include "runtime/os/worker_slot.h"

#include <gtest/gtest.h>

#include <thread>

namespace {

TEST(worker_slot, is_null_on_foreign_threads_and_belongs_to_one_thread) {
  EXPECT_EQ(rt::os::worker_slot(), nullptr);
  std::thread([] {
    rt::os::worker_head mine;
    rt::os::set_worker_slot(&mine);
    EXPECT_EQ(rt::os::worker_slot(), &mine);
    std::thread([] { EXPECT_EQ(rt::os::worker_slot(), nullptr); }).join();
    rt::os::set_worker_slot(nullptr);
    EXPECT_EQ(rt::os::worker_slot(), nullptr);
  }).join();
}

}  // namespace
