// Built with, or without, the sanitizer that the host is built without, or with.
#include "note_variant.h"

static constexpr rt::plugin_abi::note other_build() {
  auto note = rt::plugin_abi::make_note("test-other-build", "0.1.0", "Is built otherwise");
  note.flags ^= rt::plugin_abi::flag_thread_sanitizer;
  return note;
}

TEST_PLUGIN_WITH_NOTE(other_build)
