// Has variables with thread storage, which a green thread must not rely on.
#include <rt/rt.h>

#include <string>

namespace cache {
thread_local std::string last_query = "none";
}
static thread_local int calls = 0;

static void count(rt::task& self) {
  ++calls;
  self.info("call " + std::to_string(calls) + " after " + cache::last_query);
}

RT_PLUGIN("test-thread-local", "0.1.0", "Uses thread_local")
RT_ENTRY(count, "Counts its calls, wrongly")
