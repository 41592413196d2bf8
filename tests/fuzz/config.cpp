// The configuration: a text as rtd reads it, and what follows from it.
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/config/config.h"
#include "daemon/config/diff.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace rtd;
using fuzz::require;

// What a terminal or a log gets to see of a stranger's text. Tabs stay: protocol::clean_text.
void check_is_one_line(const std::string& text) {
  for (const char c : text)
    require((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) || c == '\t', "a problem is one clean line");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const config::load_result loaded = config::load_text(fuzz::text_of(data, size), "/etc/rtd");
  require(loaded.value.has_value() == loaded.problems.empty(), "there is a configuration or there are problems");
  for (const config::problem& problem : loaded.problems) {
    require(problem.line > 0 && problem.column > 0, "a problem of a text has a place");
    require(!problem.message.empty(), "a problem is said in words");
    check_is_one_line(config::format(problem, "rtd.json"));
  }
  if (!loaded.value) return 0;
  const std::string written = config::to_json(*loaded.value).dump();
  const config::load_result again = config::load_text(written, "/elsewhere");
  require(again.value.has_value(), "what was written out is a configuration");
  require(*again.value == *loaded.value, "what was written out is the same configuration");
  require(config::diff(*loaded.value, *again.value).empty(), "the same configuration differs in nothing");
  const config::config nothing;
  require(nlohmann::json::accept(config::to_json(config::diff(nothing, *loaded.value)).dump()), "a diff is JSON");
  require(nlohmann::json::accept(config::to_json(config::diff(*loaded.value, nothing)).dump()), "a diff is JSON");
  return 0;
}
