// Uses a function that no runtime has.
#include <rt/rt.h>

namespace rt {
void function_of_the_future(int);
}

static void call_it(rt::task&) { rt::function_of_the_future(1); }

RT_PLUGIN("test-missing-symbol", "0.1.0", "Needs a function that does not exist")
RT_ENTRY(call_it, "Calls it")
