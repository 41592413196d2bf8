// A frame of a host, read. The host may be hostile; nothing that it writes throws here.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::supervisor {

/// The answer to a request: a result, or an error with the kind that the host gave ("plugin_no_note"), or "timeout" or
/// "unavailable" when there was none.
struct host_answer {
  nlohmann::json result = nlohmann::json::object();
  std::string error_kind;  // empty: it is a result
  std::string message;     // cleaned
  bool good() const noexcept { return error_kind.empty(); }
};

/// What a frame says: an event, or the answer to a request.
struct host_message {
  nlohmann::json event = nullptr;  // an object with a string "event"; null: it is an answer
  std::uint64_t request = 0;       // which request it answers; whether there was one is for the caller to check
  host_answer answer;
};

/// Reads a frame's payload. Nothing when it breaks the protocol; `problem` then says by what: "a frame that is no
/// object".
std::optional<host_message> read_host_message(std::string_view frame, std::string& problem);

}  // namespace rtd::supervisor
