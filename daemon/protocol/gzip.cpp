#include "daemon/protocol/gzip.h"

#include <zlib.h>

#include <climits>

namespace rtd::protocol {

std::optional<std::string> gzip(std::string_view body) {
  if (body.size() > UINT_MAX) return std::nullopt;
  z_stream stream{};
  constexpr int window_bits_with_gzip_header = 15 + 16;
  constexpr int memory_level = 8;
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, window_bits_with_gzip_header, memory_level, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return std::nullopt;
  }
  struct stream_end {
    z_stream* stream;
    ~stream_end() { deflateEnd(stream); }
  } const end{&stream};
  const uLong bound = deflateBound(&stream, body.size());
  if (bound > UINT_MAX) return std::nullopt;
  std::string compressed(bound, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));  // zlib does not write to its input
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(compressed.data());
  stream.avail_out = static_cast<uInt>(compressed.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) return std::nullopt;
  compressed.resize(stream.total_out);
  return compressed;
}

}  // namespace rtd::protocol
