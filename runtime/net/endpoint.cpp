#include "runtime/net/endpoint.h"

#include <charconv>
#include <string>

#include "runtime/net/lookup_pool.h"

namespace rt::net::detail {

namespace {

failure parse_network(std::string_view name, network& kind) {
  if (name == "tcp") {
    kind = network::tcp;
  } else if (name == "tcp4") {
    kind = network::tcp4;
  } else if (name == "tcp6") {
    kind = network::tcp6;
  } else if (name == "unix") {
    kind = network::unix_domain;
  } else {
    return {errc::bad_address, "unknown network \"" + std::string(name) + "\"; expected tcp, tcp4, tcp6 or unix"};
  }
  return {};
}

failure bad(std::string_view address, const char* what) {
  return {errc::bad_address, '"' + std::string(address) + "\": " + what};
}

// "host:port", "[host]:port", ":port".
failure split(std::string_view address, std::string_view& host, std::string_view& port) {
  std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) {
    return bad(address, "the port is missing; expected host:port, [IPv6 address]:port or :port");
  }
  host = address.substr(0, colon);
  port = address.substr(colon + 1);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']')
      return bad(address, "the bracket is not closed before the port; expected [IPv6 address]:port");
    host = host.substr(1, host.size() - 2);
    if (host.find_first_of("[]") != std::string_view::npos) return bad(address, "unexpected bracket");
    if (host.empty()) return bad(address, "nothing between the brackets; expected [IPv6 address]:port");
  } else if (host.find(':') != std::string_view::npos) {
    return bad(address, "too many colons; an IPv6 address is written [address]:port");
  } else if (host.find_first_of("[]") != std::string_view::npos) {
    return bad(address, "unexpected bracket");
  }
  // The system's resolver takes a C string, and a name with such characters is always an accident.
  for (char each : host) {
    auto code = static_cast<unsigned char>(each);
    if (code <= ' ' || code == 0x7f) return bad(address, "space or control character in the host");
  }
  return {};
}

failure parse_port(std::string_view address, std::string_view text, purpose use, std::uint16_t& port) {
  unsigned int number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || number > 65535) {
    return bad(address, "the port must be a number from 0 to 65535");
  }
  if (number == 0 && use == purpose::dial) return bad(address, "port 0 cannot be dialled");
  port = static_cast<std::uint16_t>(number);
  return {};
}

int family_of(network kind) noexcept {
  if (kind == network::tcp4) return AF_INET;
  if (kind == network::tcp6) return AF_INET6;
  return AF_UNSPEC;
}

failure find_unix(std::string_view address, endpoints& result) {
  if (address.empty() || address == "@") {
    return bad(address, "the path of the unix socket is missing; expected /path or @name");
  }
  if (address.front() != '@' && address.find('\0') != std::string_view::npos) {
    return bad(address, "null character in a path; an abstract name begins with @");
  }
  std::optional<socket_address> one = socket_address::from_path(address);
  if (!one) {
    return {errc::bad_address, '"' + std::string(address) + "\": " + std::to_string(address.size()) +
                                   " characters are too long for a unix socket; at most " +
                                   std::to_string(socket_address::longest_path)};
  }
  result.addresses.push_back(*one);
  return {};
}

// ":port".
void add_missing_host(purpose use, std::uint16_t port, endpoints& result) {
  result.host_given = false;
  auto add = [&](int family) {
    result.addresses.push_back(use == purpose::listen ? socket_address::any(family, port)
                                                      : socket_address::loopback(family, port));
  };
  // A listener prefers the IPv6 socket, which serves IPv4 too; a caller the address that every listener has.
  if (result.kind == network::tcp) {
    add(use == purpose::listen ? AF_INET6 : AF_INET);
    add(use == purpose::listen ? AF_INET : AF_INET6);
  } else {
    add(family_of(result.kind));
  }
}

}  // namespace

failure find_endpoints(std::string_view network_name, std::string_view address, purpose use, std::int64_t deadline,
                       endpoints& result) {
  if (failure wrong = parse_network(network_name, result.kind)) return wrong;
  if (result.kind == network::unix_domain) return find_unix(address, result);

  std::string_view host_part;
  std::string_view port_part;
  std::uint16_t port = 0;
  if (failure wrong = split(address, host_part, port_part)) return wrong;
  if (failure wrong = parse_port(address, port_part, use, port)) return wrong;
  if (host_part.empty()) {
    add_missing_host(use, port, result);
    return {};
  }
  std::string host(host_part);
  int family = family_of(result.kind);
  if (std::optional<socket_address> one = socket_address::from_digits(host, port)) {
    if (family != AF_UNSPEC && one->family() != family) {
      return bad(address,
                 family == AF_INET ? "network tcp4 needs an IPv4 address" : "network tcp6 needs an IPv6 address");
    }
    // As connect(2) takes it on Linux, but said where everybody can see it: the unspecified address is this machine.
    if (use == purpose::dial && one->is_unspecified()) one = socket_address::loopback(one->family(), port);
    result.addresses.push_back(*one);
    return {};
  }
  if (host.find(':') != std::string::npos) return bad(address, "not an IPv6 address (or its zone does not exist)");
  if (failure wrong = shared_lookup_pool().look_up(host, family, deadline, result.addresses)) return wrong;
  result.looked_up = true;
  for (socket_address& each : result.addresses) each.set_port(port);
  return {};
}

std::string describe(std::string_view operation, std::string_view network_name, std::string_view address,
                     const failure& why) {
  std::string text(operation);
  ((text += ' ') += network_name) += ' ';
  text += address;
  if (!why.detail.empty()) (text += ": ") += why.detail;
  return text;
}

}  // namespace rt::net::detail
