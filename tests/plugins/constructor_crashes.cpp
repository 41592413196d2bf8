// The constructor of a global object writes through a null pointer.
#include <rt/rt.h>

namespace {

struct crasher {
  crasher() { *static_cast<volatile int*>(nullptr) = 1; }
} global;

void unused(rt::task&) {}

}  // namespace

RT_PLUGIN("test-constructor-crashes", "0.1.0", "Crashes while it is loaded")
RT_ENTRY(unused, "Is never called")
