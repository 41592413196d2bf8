// Requests of the memcached text protocol, as the plugin kvcache reads them.
//
// The first byte says in what pieces the rest comes. What is found must not depend on that, keeps within its limits,
// and is found again when it is written out.
#include <algorithm>
#include <string>
#include <vector>

#include "plugins/kvcache/request.h"
#include "tests/fuzz/fuzz.h"

namespace {

using kvcache::reading;
using kvcache::request;
using kvcache::request_reader;
using kvcache::verb;
using rtd::fuzz::require;

// Small, so that inputs of the usual size go beyond it.
constexpr std::size_t longest_value = 100;

constexpr const char* names[] = {"get",  "gets", "set",   "add",   "replace",   "append",  "prepend",   "cas", "delete",
                                 "incr", "decr", "touch", "stats", "flush_all", "version", "verbosity", "quit"};

bool stores(verb what) { return what >= verb::set && what <= verb::cas; }

// The request as a client would send it.
std::string written(const request& one) {
  std::string text = names[static_cast<std::size_t>(one.what)];
  for (const std::string& key : one.keys) text += " " + key;
  if (stores(one.what)) {
    text += " " + std::to_string(one.flags) + " " + std::to_string(one.time) + " " + std::to_string(one.value.size());
    if (one.what == verb::cas) text += " " + std::to_string(one.number);
  } else if (one.what == verb::remove) {
    text += " 0";
  } else if (one.what == verb::increment || one.what == verb::decrement || one.what == verb::verbosity) {
    text += " " + std::to_string(one.number);
  } else if (one.what == verb::touch || one.what == verb::flush_all) {
    text += " " + std::to_string(one.time);
  }
  text += one.quiet ? " noreply\r\n" : "\r\n";
  return stores(one.what) ? text + one.value + "\r\n" : text;
}

void check(const request& one) {
  require(one.value.size() <= longest_value, "a value is within its limit");
  require(stores(one.what) || one.value.empty(), "only what stores has a value");
  for (const std::string& key : one.keys) {
    require(!key.empty() && key.size() <= request_reader::longest_key, "a key is within its limits");
    require(std::ranges::none_of(key, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f'; }),
            "a key is one word");
  }
}

void check(const std::string& refusal) {
  if (refusal.empty()) return;
  require(refusal.ends_with("\r\n") && refusal.find('\n') == refusal.size() - 1, "a refusal is one line");
  require(refusal.starts_with("ERROR") || refusal.starts_with("CLIENT_ERROR ") || refusal.starts_with("SERVER_ERROR "),
          "a refusal is one of the protocol's");
}

// All that is found: requests as they would be written, refusals behind a "!".
std::vector<std::string> read_all(std::string_view bytes, std::size_t piece) {
  request_reader reader(longest_value);
  std::vector<std::string> found;
  while (!bytes.empty()) {
    // Copied: the sanitizer sees each byte that is read beyond the end.
    const std::vector<char> part(bytes.begin(),
                                 bytes.begin() + static_cast<std::ptrdiff_t>(std::min(piece, bytes.size())));
    bytes.remove_prefix(part.size());
    std::string_view rest(part.data(), part.size());
    while (!rest.empty()) {
      const std::size_t before = rest.size();
      switch (reader.read(rest)) {
        case reading::more:
          require(rest.empty(), "who wants more has taken all");
          break;
        case reading::request:
          check(reader.found());
          found.push_back(written(reader.found()));
          break;
        case reading::refused:
          check(reader.refusal());
          found.push_back("!" + reader.refusal());
          if (reader.is_over()) return found;
          break;
      }
      require(rest.size() < before, "each step takes something");
    }
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = rtd::fuzz::text_of(data + 1, size - 1);
  const std::vector<std::string> whole = read_all(bytes, bytes.size() + 1);
  require(read_all(bytes, std::size_t{data[0]} + 1) == whole, "it does not matter in what pieces bytes come");
  for (const std::string& text : whole)
    if (!text.starts_with("!"))
      require(read_all(text, text.size()) == std::vector<std::string>{text}, "what was written is read as the same");
  return 0;
}
