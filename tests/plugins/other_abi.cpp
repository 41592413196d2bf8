// Built for a binary interface of the future.
#include "note_variant.h"

static constexpr rt::plugin_abi::note other_abi() {
  auto note = rt::plugin_abi::make_note("test-other-abi", "0.1.0", "Speaks another ABI");
  note.abi = 999;
  return note;
}

TEST_PLUGIN_WITH_NOTE(other_abi)
