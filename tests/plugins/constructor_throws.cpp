// The constructor of a global object throws.
#include <rt/rt.h>

#include <cstdio>
#include <stdexcept>
#include <string>

namespace {

struct guard_of_nothing {
  explicit guard_of_nothing(const char* file) {
    if (file == nullptr) throw std::runtime_error("no license file at " + std::string("/etc/license"));
  }
};
guard_of_nothing global(nullptr);

void unused(rt::task&) {}

}  // namespace

RT_PLUGIN("test-constructor-throws", "0.1.0", "Throws while it is loaded")
RT_ENTRY(unused, "Is never called")
