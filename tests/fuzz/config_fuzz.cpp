// A libFuzzer target: any text may be given to the configuration's parser. Build it with clang++ and
// -fsanitize=fuzzer,address,undefined, start it with tests/daemon/config/data/good and bad as corpus.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "daemon/config/config.h"
#include "daemon/config/document.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const rtd::config::load_result first = rtd::config::load_text(text, "/etc/rtd");
  if (first.value.has_value() != first.problems.empty()) std::abort();
  for (const rtd::config::problem& found : first.problems) {
    if (found.message.empty() || found.line < 0 || (found.line == 0) != (found.column == 0)) std::abort();
    if (format(found, "fuzz").find('\n') != std::string::npos) std::abort();
  }
  if (!first.value) {
    // Whatever the library takes is a document here too, unless a limit of ours was passed.
    rtd::config::problem_list problems;
    const bool parsed = rtd::config::parse_document(text, problems).has_value();
    if (parsed && !nlohmann::json::accept(text)) std::abort();
    return 0;
  }
  const rtd::config::load_result again = rtd::config::load_text(to_json(*first.value).dump(), "/");
  if (!again.value || *again.value != *first.value) std::abort();
  return 0;
}
