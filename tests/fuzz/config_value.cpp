// Durations, sizes and addresses, as the configuration and the command lines have them. One text is tried as each.
#include <string>

#include "daemon/config/duration.h"
#include "daemon/config/endpoint.h"
#include "daemon/config/size.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace rtd;
using fuzz::require;

// Every text is read, or refused with a reason; what was read comes back from its own spelling.
template <class Parse, class Format>
void check(std::string_view text, Parse&& parse, Format&& format) {
  std::string why;
  const auto read = parse(text, &why);
  require(read.has_value() == why.empty(), "a text is read, or there is a reason");
  require(parse(text, nullptr) == read, "the reason is not needed");
  if (!read) return;
  require(parse(format(*read), nullptr) == read, "a value comes back as it was written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  check(text, config::parse_duration, config::format_duration);
  check(text, config::parse_size, config::format_size);
  check(text, config::parse_endpoint, config::format_endpoint);
  if (const auto length = config::parse_duration(text)) require(length->count() >= 0, "no length is negative");
  return 0;
}
