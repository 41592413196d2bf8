// As constructor_throws, but linked with -z nodelete: the loader keeps it in memory for ever, as it does with objects
// that have unique symbols.
#include <rt/rt.h>

#include <stdexcept>

namespace {

int throw_it() { throw std::runtime_error("still not ready"); }
int global = throw_it();

void unused(rt::task& self) { self.info(std::to_string(global)); }

}  // namespace

RT_PLUGIN("test-constructor-throws-resident", "0.1.0", "Throws while it is loaded, and stays")
RT_ENTRY(unused, "Is never called")
