// What one client asks, and the answers.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "plugins/kvcache/cache.h"
#include "plugins/kvcache/request.h"

namespace kvcache {

/// What the sessions of a server share. A local variable: the reference is seen on its stack.
struct server_state {
  rt::ref<cache> items;
  rt::time_point started;
  std::uint64_t most_connections = 0;
  std::atomic<std::uint64_t> connections{0};
  std::atomic<std::uint64_t> all_connections{0};
  std::atomic<std::uint64_t> bytes_read{0};
  std::atomic<std::uint64_t> bytes_written{0};
};

class session {
 public:
  session(server_state& shared, std::size_t longest_value)
      : shared_(&shared), longest_value_(longest_value), reader_(longest_value) {}

  /// Takes what the client has sent and appends the answers to `out`. False: close the connection, when they are
  /// written. Blocks for other sessions only. `out` may be taken away and emptied between calls; when it grows beyond
  /// some hundreds of kilobytes the call returns with bytes left.
  bool answer(std::string_view& bytes, std::string& out);

 private:
  bool answer_one(std::string& out);
  void answer_get(std::string& out);
  void answer_storage(std::string& out);
  void answer_stats(std::string& out);

  server_state* shared_;
  std::size_t longest_value_;
  request_reader reader_;
};

}  // namespace kvcache
