// tour: one entry for each part of the runtime, which does its work and says what it costs.
#include <rt/rt.h>

RT_PLUGIN("tour", "1.0.0", "The runtime part by part, with its own figures")
