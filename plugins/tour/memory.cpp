// Memory: what an allocation and a collection change, and objects that are used again instead.
#include <algorithm>
#include <array>
#include <atomic>
#include <memory>

#include "say.h"

namespace {

using tour::say;

void say_heap(const rt::task& self, const char* when) {
  rt::mem_stats now = rt::read_mem_stats();
  say(self, "%s: %.0f KiB in %llu objects, heap %.0f KiB, collections %u", when, tour::kibibytes(now.heap_alloc),
      static_cast<unsigned long long>(now.heap_objects), tour::kibibytes(now.heap_inuse), now.num_gc);
}

// A function of its own, so that no word of it is left on the stack of its caller.
[[gnu::noinline]] void allocate(const rt::task& self) {
  auto* bytes = rt::make_array<unsigned char>(1 << 20);
  std::fill_n(bytes, 1 << 20, static_cast<unsigned char>(1));
  say_heap(self, "with 1 MiB");
  rt::keep_alive(bytes);
}

void alloc(rt::task& self) {
  rt::gc();
  say_heap(self, "before");
  allocate(self);
  rt::gc();
  say_heap(self, "after a collection");
}

void pool(rt::task& self) {
  using buffer = std::array<char, 1024>;
  constexpr int rounds = 1000;
  std::atomic<int> made{0};
  rt::pool<buffer> buffers([&made] {
    ++made;
    return std::make_unique<buffer>();
  });
  rt::time_point start = rt::now();
  for (int i = 0; i < rounds; ++i) {
    std::unique_ptr<buffer> one = buffers.get();
    one->fill(0);
    buffers.put(std::move(one));
  }
  say(self, "%d gets and puts of a cleared 1 KiB buffer in %.3f ms, %d buffers were made", rounds,
      tour::milliseconds(rt::now() - start), made.load());
}

}  // namespace

RT_ENTRY(alloc, "The heap before and after 1 MiB, and after a collection")
RT_ENTRY(pool, "1 000 gets and puts of cleared 1 KiB buffers")
