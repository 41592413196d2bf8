// Messages of the control socket: a client's bytes as rtd reads them, a daemon's bytes as rtctl reads them.
//
// The first byte says in what pieces the rest arrives.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "daemon/protocol/framing.h"
#include "daemon/protocol/json.h"
#include "daemon/protocol/methods.h"
#include "daemon/protocol/rpc.h"
#include "tests/fuzz/fuzz.h"

namespace {

using nlohmann::json;
using namespace rtd;
using fuzz::require;

// Short, so that an input of the usual size goes beyond it.
constexpr std::size_t most_line_bytes = 2048;

void check_is_one_line(const std::string& line) {
  require(line.find('\n') == line.size() - 1, "an answer is one line");
  require(json::accept(line), "an answer is JSON");
}

void answer_as_server(const std::string& line) {
  json id = nullptr;
  try {
    auto parsed = protocol::parse_json(line, protocol::control_limits);
    require(parsed.value.has_value() == parsed.error.empty(), "there is a document or an error");
    if (!parsed) throw protocol::rpc_error(protocol::error_kind::parse_error, parsed.error);
    id = protocol::id_of(*parsed.value);
    const protocol::request request = protocol::parse_request(*parsed.value);
    require(request.params.is_object() && request.id == id, "a request has parameters and an id");
    const std::string again = protocol::request_line(request.id, request.method, request.params);
    check_is_one_line(again);
    const protocol::request reread = protocol::parse_request(json::parse(again));
    require(reread.id == request.id && reread.method == request.method, "a request comes back as it was written");
    const protocol::method_info* method = protocol::find_method(request.method);
    if (method == nullptr) throw protocol::unknown_method(request.method);
    protocol::check_params(*method, request.params);
    check_is_one_line(protocol::result_line(id, request.params));
  } catch (const protocol::rpc_error& error) {
    check_is_one_line(protocol::error_line(id, error));
  }
}

void read_as_client(const std::string& line) {
  const auto parsed = protocol::parse_json(line, protocol::control_limits);
  if (!parsed) return;
  try {
    const protocol::response response = protocol::parse_response(*parsed.value);
    require((response.what == protocol::response::type::error) == response.error.has_value(), "an error is an error");
  } catch (const std::runtime_error&) {
    // Refused, as it should be.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = std::size_t{data[0]} + 1;
  std::string_view rest = fuzz::text_of(data + 1, size - 1);
  protocol::line_decoder lines(most_line_bytes);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, piece);
    rest.remove_prefix(part.size());
    lines.feed(part);
    while (const auto line = lines.next()) {
      require(line->size() <= most_line_bytes && line->find('\n') == std::string::npos, "a line is a line");
      answer_as_server(*line);
      read_as_client(*line);
    }
    require(lines.pending() <= most_line_bytes + piece, "no more is kept than the limit");
  }
  return 0;
}
