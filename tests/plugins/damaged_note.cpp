// A note whose texts have no end.
#include "note_variant.h"

static constexpr rt::plugin_abi::note damaged() {
  auto note = rt::plugin_abi::make_note("test-damaged-note", "0.1.0", "Has a damaged note");
  for (char& letter : note.name) letter = 'a';
  return note;
}

TEST_PLUGIN_WITH_NOTE(damaged)
