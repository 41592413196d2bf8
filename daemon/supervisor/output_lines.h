// Cutting what a host writes to its standard streams into lines. Unlike a protocol's lines these have no limit that
// could be broken: a line that is too long is shown in pieces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace rtd::supervisor {

class output_lines {
 public:
  static constexpr std::size_t longest = 4096;

  /// Takes bytes and calls `emit` with each whole line or piece, without newline. `emit` returns false to stop, for a
  /// caller that no longer exists; nothing of this object is touched after that.
  template <class Emit>
  void feed(std::string_view bytes, Emit emit) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      const std::size_t taken = std::min(std::min(end, bytes.size()), longest - partial_.size());
      partial_.append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
      const bool whole = !bytes.empty() && bytes.front() == '\n';
      if (!whole && partial_.size() < longest) return;
      if (whole) bytes.remove_prefix(1);
      std::string line = std::exchange(partial_, {});
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (!line.empty() && !emit(std::move(line))) return;
    }
  }

  /// The last line, which has no newline.
  std::string rest() { return std::exchange(partial_, {}); }

 private:
  std::string partial_;
};

}  // namespace rtd::supervisor
