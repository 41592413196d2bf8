// Query strings, escapes and lists of encodings of HTTP requests.
#include <zlib.h>

#include <string>

#include "daemon/http/compression.h"
#include "daemon/http/message.h"
#include "daemon/protocol/gzip.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace rtd;
using fuzz::require;

std::string inflated(const std::string& packed, std::size_t size) {
  std::string result(size + 1, '\0');  // one more, for a result that is too long
  z_stream stream{};
  constexpr int window_bits_with_gzip_header = 15 + 16;
  require(inflateInit2(&stream, window_bits_with_gzip_header) == Z_OK, "zlib works");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));  // zlib does not write to its input
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  const int end = inflate(&stream, Z_FINISH);
  result.resize(stream.total_out);
  inflateEnd(&stream);
  require(end == Z_STREAM_END, "a packed body is whole");
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  std::size_t bytes = 0;
  for (const auto& [name, value] : http::parse_query(text)) bytes += name.size() + value.size();
  require(bytes <= size, "a query does not grow");
  for (const bool plus_is_space : {false, true}) {
    const auto path = http::percent_decode(text, plus_is_space);
    if (!path) continue;
    require(path->size() <= size, "a path does not grow");
    require(path->find('\0') == std::string::npos || text.find('\0') != std::string_view::npos, "no NUL is made");
  }
  if (http::accepts_gzip(text)) require(size > 0, "nothing accepts nothing");
  const auto packed = protocol::gzip(text);
  require(packed && inflated(*packed, size) == text, "a packed body comes back");
  return 0;
}
