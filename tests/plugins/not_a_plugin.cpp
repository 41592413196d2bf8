// A shared object that has nothing to do with rtd. Loading it would be noticed.
#include <cstdio>

namespace {

struct noticed {
  noticed() { std::fputs("not_a_plugin was loaded\n", stderr); }
} global;

}  // namespace

extern "C" int answer() { return 42; }
