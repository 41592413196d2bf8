#include "daemon/config/isolation_section.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "daemon/config/text.h"

namespace rtd::config {
namespace {

// In the order of the enumerators.
constexpr std::array<std::string_view, 3> isolation_modes{"strict", "best-effort", "none"};
constexpr std::array<std::string_view, 2> violation_actions{"deny", "kill"};

constexpr std::size_t most_grants = 64;  // of a kind; each is a mount and a rule of the kernel
constexpr std::size_t most_address_bytes = 300;
constexpr std::size_t most_variable_bytes = 32 * 1024;
constexpr std::uint64_t most_scratch = std::uint64_t{1} << 40;

/// Calls `read_item` for each item of an array of at most most_grants.
template <class Function>
void for_each_item(const value& from, Function&& read_item) {
  if (from.json().kind != node_kind::array) {
    from.refuse("an array of strings");
    return;
  }
  if (from.json().items.size() > most_grants) {
    from.complain("the array has " + std::to_string(from.json().items.size()) + " items", "at most 64 are allowed");
    return;
  }
  for (std::size_t i = 0; i < from.json().items.size(); ++i)
    read_item(value(from.json().items[i], child_pointer(from.pointer(), std::to_string(i)), from.problems()));
}

void read_paths(const value& from, std::vector<std::string>& to) {
  for_each_item(from, [&](const value& item) {
    std::string path;
    if (!item.read_path(path, "/")) return;
    if (item.json().text.front() != '/') return item.complain(in_quotes(path) + " is no absolute path");
    if (path == "/") return item.complain("the root cannot be granted", "grant the folders that are needed");
    to.push_back(std::move(path));
  });
}

/// The port of "ADDRESS:PORT"; nothing when the text is no such thing.
std::optional<std::uint16_t> port_of(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  const std::string_view host = text.substr(0, colon);
  const bool odd = host.find_first_of(" \t/\"'\\") != std::string_view::npos;
  const bool bare = host.find(':') != std::string_view::npos && (host.front() != '[' || host.back() != ']');
  if (odd || bare) return std::nullopt;
  return port;
}

void read_addresses(const value& from, address_grants& to) {
  for_each_item(from, [&](const value& item) {
    std::string text;
    if (!item.read_string(text, most_address_bytes)) return;
    if (text == "*") {
      to.every_port = true;
    } else if (const auto port = port_of(text)) {
      to.ports.push_back(*port);
    } else {
      return item.complain(in_quotes(text) + " is no address with a port",
                           R"(write "127.0.0.1:8080", "[::1]:8080", "example.org:443", "*:443" or "*" for every port)");
    }
    to.addresses.push_back(std::move(text));
  });
  std::sort(to.ports.begin(), to.ports.end());
  to.ports.erase(std::unique(to.ports.begin(), to.ports.end()), to.ports.end());
}

bool is_variable(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && name.size() <= 128 && !(name[0] >= '0' && name[0] <= '9') &&
         std::all_of(name.begin(), name.end(), good);
}

void read_environment(const value& from, std::map<std::string, std::string>& to) {
  for_each_entry(from, [&](const std::string& name, const value& entry, place at) {
    if (!is_variable(name)) {
      entry.problems().add(entry.pointer(), at, in_quotes(name) + " is no name of an environment variable",
                           "use letters, digits and '_', no digit first");
    } else if (name.starts_with("LD_") || name == "GLIBC_TUNABLES" || name == "GCONV_PATH") {
      entry.problems().add(entry.pointer(), at, in_quotes(name) + " would change how the host itself is loaded",
                           "link the plugin with what it needs");
    }
    std::string text;
    if (!entry.read_string(text, most_variable_bytes, true)) return;
    if (text.find('\0') != std::string::npos) return entry.complain("the value has a zero byte in it");
    to[name] = std::move(text);
  });
  if (to.size() > most_grants)
    from.complain("there are " + std::to_string(to.size()) + " variables", "at most 64 are allowed");
}

void read_grants(const value& from, grant_settings& to) {
  object_reader object(from);
  if (const auto paths = object.find("read")) read_paths(*paths, to.read);
  if (const auto paths = object.find("write")) read_paths(*paths, to.write);
  if (const auto addresses = object.find("listen")) read_addresses(*addresses, to.listen);
  if (const auto addresses = object.find("connect")) read_addresses(*addresses, to.connect);
  if (const auto udp = object.find("udp")) udp->read_bool(to.udp);
  if (const auto variables = object.find("environment")) read_environment(*variables, to.environment);
  object.refuse_unknown_keys();
}

}  // namespace

std::string_view to_string(isolation_mode value) noexcept { return isolation_modes[static_cast<std::size_t>(value)]; }
std::string_view to_string(violation_action value) noexcept {
  return violation_actions[static_cast<std::size_t>(value)];
}

void read_isolation(const value& from, isolation_settings& to) {
  object_reader object(from);
  std::size_t word = 0;
  if (const auto mode = object.find("mode"); mode && mode->read_word(word, isolation_modes))
    to.mode = static_cast<isolation_mode>(word);
  if (const auto action = object.find("on_violation"); action && action->read_word(word, violation_actions))
    to.on_violation = static_cast<violation_action>(word);
  if (const auto seal = object.find("seal")) seal->read_bool(to.seal);
  if (const auto scratch = object.find("scratch")) scratch->read_size(to.scratch, 0, most_scratch);
  if (const auto grants = object.find("grants")) read_grants(*grants, to.grants);
  object.refuse_unknown_keys();
}

}  // namespace rtd::config
