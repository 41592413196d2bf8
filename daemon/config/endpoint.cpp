#include "daemon/config/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstddef>

#include "daemon/config/text.h"

namespace rtd::config {
namespace {

std::nullopt_t fail(std::string* error, const std::string& why) {
  if (error != nullptr) *error = why;
  return std::nullopt;
}

bool is_address(int family, const std::string& text) {
  in6_addr room{};
  return text.find('\0') == std::string::npos && inet_pton(family, text.c_str(), &room) == 1;
}

/// The port, or nothing. Only digits: from_chars would take a sign.
std::optional<std::uint16_t> parse_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != std::string_view::npos) return {};
  std::uint32_t port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  if (port > 65535) return {};
  return static_cast<std::uint16_t>(port);
}

}  // namespace

std::optional<endpoint> parse_endpoint(std::string_view text, std::string* error) {
  const std::size_t colon = text.rfind(':');
  const bool bracketed = !text.empty() && text[0] == '[';
  if (colon == std::string_view::npos || (bracketed && text.rfind(']') > colon)) {
    return fail(error, "the port is missing");
  }
  const std::optional<std::uint16_t> port = parse_port(text.substr(colon + 1));
  if (!port) return fail(error, "the port " + in_quotes(text.substr(colon + 1), 12) + " is no number from 0 to 65535");
  std::string_view host = text.substr(0, colon);
  if (host.empty()) return fail(error, "the address is missing; every interface is \"0.0.0.0\" or \"[::]\"");
  if (host == "localhost") return endpoint{"127.0.0.1", *port};
  if (bracketed) {
    if (host.back() != ']') return fail(error, "something stands between ']' and ':'");
    host = host.substr(1, host.size() - 2);
    if (!is_address(AF_INET6, std::string(host))) return fail(error, in_quotes(host, 48) + " is no IPv6 address");
    return endpoint{std::string(host), *port};
  }
  if (host.find(':') != std::string_view::npos) return fail(error, "an IPv6 address stands in square brackets");
  if (!is_address(AF_INET, std::string(host))) return fail(error, in_quotes(host, 48) + " is no IP address");
  return endpoint{std::string(host), *port};
}

std::string format_endpoint(const endpoint& what) {
  const bool brackets = what.address.find(':') != std::string::npos;
  return (brackets ? '[' + what.address + ']' : what.address) + ':' + std::to_string(what.port);
}

}  // namespace rtd::config
