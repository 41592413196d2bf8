// The constructor of a global object never returns.
#include <rt/rt.h>

#include <unistd.h>

namespace {

struct sleeper {
  sleeper() {
    for (;;) pause();
  }
} global;

void unused(rt::task&) {}

}  // namespace

RT_PLUGIN("test-constructor-hangs", "0.1.0", "Waits for ever while it is loaded")
RT_ENTRY(unused, "Is never called")
