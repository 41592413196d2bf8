#include "plugins/prober/target.h"

#include <rt/task.h>

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>

namespace prober {

namespace {

constexpr std::string_view usage = "write \"tcp://host:port\" or \"http://host:port/path\"";

[[noreturn]] void refuse(std::string_view text, const std::string& wrong, std::string_view remedy = usage) {
  throw rt::bad_parameter("parameter \"targets\" has \"" + std::string(text) + "\": " + wrong + "; " +
                          std::string(remedy));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_address(int family, const std::string& digits) {
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(family, digits.c_str(), bytes) == 1;
}

void check_characters(std::string_view text) {
  if (text.empty()) refuse(text, "it is empty");
  if (text.size() > longest_target) {
    refuse(std::string(text.substr(0, longest_target)) + "…",
           "it has " + std::to_string(text.size()) + " bytes, more than " + std::to_string(longest_target),
           "probe a shorter path of that host");
  }
  for (char c : text) {
    if (c > ' ' && c < 0x7f) continue;
    refuse(text, "it has a blank or a character that is not ASCII",
           "write %20 and kin in a path, and a host's name in its ASCII form (xn--…)");
  }
}

scheme read_scheme(std::string_view text, std::string_view name) {
  std::string lower = lower_case(name);
  if (lower == "tcp") return scheme::tcp;
  if (lower == "http") return scheme::http;
  if (lower == "https") {
    refuse(text, "https is not spoken here", "probe the port alone with \"tcp://host:443\"");
  }
  refuse(text, "\"" + std::string(name) + "\" is no scheme that can be probed");
}

// An IPv6 address between brackets; a zone ("%eth0") is let through for the system to judge.
void check_bracketed_host(std::string_view text, std::string_view host) {
  std::string digits(host.substr(0, host.find('%')));
  if (!is_address(AF_INET6, digits)) {
    refuse(text, "\"" + std::string(host) + "\" is no IPv6 address", "write one such as [::1] or [2001:db8::7]");
  }
}

void check_host(std::string_view text, std::string_view host) {
  if (host.empty()) refuse(text, "the host is missing");
  if (std::count(host.begin(), host.end(), ':') > 0) {
    refuse(text, "too many colons before the path", "put an IPv6 address in brackets, as in \"tcp://[::1]:80\"");
  }
  bool numeric = true;
  for (char c : host) {
    if (!is_letter(c) && !is_digit(c) && c != '-' && c != '.' && c != '_') {
      refuse(text, std::string("a host's name has no '") + c + "'");
    }
    numeric = numeric && (is_digit(c) || c == '.');
  }
  if (numeric && !is_address(AF_INET, std::string(host))) {
    refuse(text, "\"" + std::string(host) + "\" is no IPv4 address", "write one such as 192.0.2.7");
  }
}

std::uint16_t read_port(std::string_view text, std::string_view digits) {
  unsigned int port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || port < 1 || port > 65535) {
    refuse(text, "\"" + std::string(digits) + "\" is no port", "write a number from 1 to 65535 after the colon");
  }
  return static_cast<std::uint16_t>(port);
}

// Two texts with the same key are the same endpoint.
std::string key_of(const target& one) {
  return (one.kind == scheme::tcp ? "tcp " : "http ") + one.address + ' ' + one.path;
}

}  // namespace

target parse_target(std::string_view text) {
  std::size_t scheme_end = text.find("://");
  std::string_view rest = scheme_end == std::string_view::npos ? text : text.substr(scheme_end + 3);
  std::size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, authority_end);
  std::string_view path = rest.substr(authority_end);
  // The first of all checks: the others quote the text.
  if (authority.find('@') != std::string_view::npos) {
    refuse("…@…", "a user name or password would show in metrics and logs", "leave out what stands before the @");
  }
  check_characters(text);
  if (scheme_end == std::string_view::npos) refuse(text, "the scheme is missing");
  target result;
  result.text = std::string(text);
  result.kind = read_scheme(text, text.substr(0, scheme_end));
  if (path.find('#') != std::string_view::npos) {
    refuse(text, "what follows a # is never sent to a server", "leave it out");
  }

  std::string_view host;
  std::string_view after_host;
  bool bracketed = !authority.empty() && authority.front() == '[';
  if (bracketed) {
    std::size_t closing = authority.find(']');
    if (closing == std::string_view::npos) refuse(text, "the bracket is not closed");
    host = authority.substr(1, closing - 1);
    after_host = authority.substr(closing + 1);
    check_bracketed_host(text, host);
    if (!after_host.empty() && after_host.front() != ':') refuse(text, "a colon is missing after the bracket");
  } else {
    std::size_t colon = authority.rfind(':');
    host = authority.substr(0, colon);
    after_host = colon == std::string_view::npos ? std::string_view() : authority.substr(colon);
    check_host(text, host);
  }

  std::uint16_t port = 80;
  if (!after_host.empty()) {
    port = read_port(text, after_host.substr(1));
  } else if (result.kind == scheme::tcp) {
    refuse(text, "the port is missing");
  }
  std::string name = lower_case(host);
  std::string digits = std::to_string(port);
  result.address = (bracketed ? '[' + name + ']' : name) + ':' + digits;
  if (result.kind == scheme::tcp) {
    if (!path.empty())
      refuse(text, "a tcp target has no path", "write \"tcp://host:port\", or http:// to ask for a path");
    return result;
  }
  // A zone means something on this machine only, so the server is not told of it.
  std::string told = bracketed ? '[' + name.substr(0, name.find('%')) + ']' : name;
  result.host_header = port == 80 ? told : told + ':' + digits;
  result.path = path.empty() || path.front() == '?' ? "/" + std::string(path) : std::string(path);
  return result;
}

std::vector<target> parse_targets(const std::vector<std::string>& texts) {
  std::vector<target> result;
  std::map<std::string, std::string> seen;
  for (const std::string& text : texts) {
    target one = parse_target(text);
    auto [place, is_new] = seen.emplace(key_of(one), text);
    if (!is_new) {
      refuse(text, "it is the same endpoint as \"" + place->second + "\"", "leave one of them out");
    }
    result.push_back(std::move(one));
  }
  return result;
}

}  // namespace prober
