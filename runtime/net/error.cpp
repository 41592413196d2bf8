// The errors that the operating system has no number for.
#include <string>

#include "rt/net.h"

namespace rt::net {

namespace {

class net_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "rt.net"; }

  std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::eof:
        return "the peer has closed its side of the connection";
      case errc::closed:
        return "use of a connection or listener that was closed on this side";
      case errc::timed_out:
        return "the deadline passed";
      case errc::bad_address:
        return "bad network address";
      case errc::not_found:
        return "the host name has no address";
      case errc::lookup_failed:
        return "the host name could not be looked up at this time";
      case errc::too_many_connections:
        return "the task has as many connections as it may (limits.connections of its configuration)";
    }
    return "unknown network error " + std::to_string(value);
  }

  std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<errc>(value)) {
      case errc::closed:
        return std::errc::bad_file_descriptor;
      case errc::timed_out:
        return std::errc::timed_out;
      case errc::bad_address:
        return std::errc::invalid_argument;
      case errc::too_many_connections:
        return std::errc::too_many_files_open;
      case errc::lookup_failed:
        return std::errc::resource_unavailable_try_again;
      case errc::eof:
      case errc::not_found:
        break;
    }
    return {value, *this};
  }
};

}  // namespace

const std::error_category& category() noexcept {
  // Never destroyed: handles in static storage report errors until the very end.
  static const net_category& instance = *new net_category();
  return instance;
}

std::error_code make_error_code(errc value) noexcept { return {static_cast<int>(value), category()}; }

}  // namespace rt::net
