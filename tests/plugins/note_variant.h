// A plugin whose note says something else than what RT_PLUGIN would write.
#pragma once

#include <rt/rt.h>

#define TEST_PLUGIN_WITH_NOTE(make)                                                                               \
  extern "C" {                                                                                                    \
  extern const rt::plugin_abi::note rt_plugin_note __attribute__((visibility("hidden")));                         \
  extern const rt::plugin_abi::descriptor rt_plugin_v1 __attribute__((visibility("default")));                    \
  __attribute__((section(".note.rtd"), used, aligned(4))) constexpr rt::plugin_abi::note rt_plugin_note = make(); \
  __attribute__((used)) const rt::plugin_abi::descriptor rt_plugin_v1 = {&rt_plugin_note, nullptr, nullptr};      \
  }
