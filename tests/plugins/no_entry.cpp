// A plugin that offers nothing.
#include <rt/rt.h>

RT_PLUGIN("test-no-entry", "0.1.0", "Offers no entry")
