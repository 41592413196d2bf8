// The parts of the configuration that concern the daemon itself: control, http, log, metrics.
#include <array>
#include <limits>
#include <set>
#include <utility>

#include "daemon/config/accounts.h"
#include "daemon/config/sections.h"
#include "daemon/config/text.h"

namespace rtd::config {
namespace {

/// sockaddr_un::sun_path without its NUL.
constexpr std::size_t most_socket_path_bytes = 107;
constexpr std::int64_t most_connections = 4096;
constexpr std::int64_t most_id = std::numeric_limits<std::uint32_t>::max() - std::int64_t{1};

// In the order of the enumerators.
constexpr std::array<std::string_view, 4> log_levels{"debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 4> log_formats{"auto", "text", "json", "journald"};
constexpr std::array<std::string_view, 3> role_words{"view", "operate", "admin"};
constexpr std::array<protocol::role, 3> role_values{protocol::role::view, protocol::role::operate,
                                                    protocol::role::admin};

void read_socket(const value& from, std::string_view base_dir, std::string& to) {
  std::string path;
  if (from.json().kind == node_kind::string && from.json().text.substr(0, 1) == "@") {
    from.complain(in_quotes(from.json().text) + " is an abstract socket, which no permissions guard",
                  "give the path of a file such as \"/run/rtd/control.sock\"");
    return;
  }
  if (!from.read_path(path, base_dir)) return;
  if (path.size() > most_socket_path_bytes) {
    from.complain("the socket's absolute path " + in_quotes(path) + " has " + std::to_string(path.size()) + " bytes",
                  "the system allows 107, choose a shorter one");
    return;
  }
  if (path.back() == '/') {
    from.complain(in_quotes(path) + " is a folder", "add the name of the socket, such as control.sock");
    return;
  }
  to = std::move(path);
}

void read_mode(const value& from, std::uint32_t& to) {
  const node& json = from.json();
  if (json.kind != node_kind::string) {
    const bool looks_octal = json.kind == node_kind::integer && json.text.size() <= 4 && json.text[0] != '-';
    from.refuse("a string of octal digits such as \"0660\"",
                looks_octal ? "write \"" + std::string(4 - json.text.size(), '0') + json.text + '"' : "");
    return;
  }
  std::string_view digits = json.text;
  if (digits.size() == 4 && digits[0] == '0') digits.remove_prefix(1);
  if (digits.size() != 3 || digits.find_first_not_of("01234567") != std::string_view::npos) {
    from.complain(in_quotes(json.text) + " is no file mode",
                  "write three octal digits with or without a leading 0, such as \"0660\"");
    return;
  }
  std::uint32_t mode = 0;
  for (const char digit : digits) mode = mode * 8 + static_cast<std::uint32_t>(digit - '0');
  if ((mode & 0600) != 0600) {
    from.complain("the mode " + in_quotes(json.text) + " keeps the daemon's own user out",
                  "the first digit must be 6 or 7, as in \"0660\"");
    return;
  }
  to = mode;
}

/// Who the rule is for. Exactly one of four keys says so.
bool read_principal(object_reader& object, const value& whole, role_rule& to) {
  const std::array<std::pair<std::string_view, std::optional<value>>, 4> ways{{{"uid", object.find("uid")},
                                                                               {"gid", object.find("gid")},
                                                                               {"user", object.find("user")},
                                                                               {"group", object.find("group")}}};
  std::string_view key;
  std::optional<value> chosen;
  for (const auto& [name, found] : ways) {
    if (!found) continue;
    if (chosen) {
      found->complain(in_quotes(name) + " stands beside " + in_quotes(key),
                      "a rule is for one user or one group, make two rules");
      return false;
    }
    key = name;
    chosen = found;
  }
  if (!chosen) {
    if (whole.json().kind == node_kind::object) {
      whole.complain("the rule does not say whom it is for", "add \"user\", \"group\", \"uid\" or \"gid\"");
    }
    return false;
  }
  to.is_group = key == "gid" || key == "group";
  if (key == "uid" || key == "gid") {
    std::int64_t id = 0;
    if (!chosen->read_integer(id, 0, most_id)) return false;
    to.id = static_cast<std::uint32_t>(id);
  } else {
    if (chosen->json().kind == node_kind::integer) {
      return chosen->refuse("a name", "use \"" + std::string(to.is_group ? "gid" : "uid") + "\" for a number");
    }
    if (!chosen->read_string(to.account, 256)) return false;
    const std::optional<std::uint32_t> id = to.is_group ? find_group(to.account) : find_user(to.account);
    if (!id) {
      chosen->complain("there is no " + std::string(key) + ' ' + in_quotes(to.account) + " on this system",
                       "create it, or mend the name");
      return false;
    }
    to.id = *id;
  }
  if (to.id == unmapped_id) {
    chosen->complain("the number 65534 stands for everybody whom a user namespace does not map",
                     "give the role to a user or group of its own");
    return false;
  }
  return true;
}

void read_roles(const value& from, std::vector<role_rule>& to) {
  if (from.json().kind != node_kind::array) {
    from.refuse("an array of rules", R"(such as [{"role": "operate", "group": "adm"}])");
    return;
  }
  std::set<std::pair<bool, std::uint32_t>> seen;
  for (std::size_t i = 0; i < from.json().items.size(); ++i) {
    const value item(from.json().items[i], child_pointer(from.pointer(), std::to_string(i)), from.problems());
    object_reader object(item);
    role_rule rule;
    const std::optional<value> role = object.require("role", "add \"role\": \"view\", \"operate\" or \"admin\"");
    std::size_t word = 0;
    bool good = role && role->read_word(word, role_words);
    if (good) rule.role = role_values[word];
    good = read_principal(object, item, rule) && good;
    object.refuse_unknown_keys();
    if (!good) continue;
    if (!seen.emplace(rule.is_group, rule.id).second) {
      item.complain("the " + std::string(rule.is_group ? "group " : "user ") + std::to_string(rule.id) +
                        " has been given a role above",
                    "keep one of the rules; a role includes the lower ones");
      continue;
    }
    to.push_back(std::move(rule));
  }
}

}  // namespace

std::string_view to_string(log_level value) noexcept { return log_levels[static_cast<std::size_t>(value)]; }
std::string_view to_string(log_format value) noexcept { return log_formats[static_cast<std::size_t>(value)]; }

void read_control(const value& from, std::string_view base_dir, control_section& to) {
  object_reader object(from);
  if (const auto socket = object.find("socket")) read_socket(*socket, base_dir, to.socket);
  if (const auto mode = object.find("mode")) read_mode(*mode, to.mode);
  if (const auto most = object.find("max_connections")) most->read_integer(to.max_connections, 1, most_connections);
  if (const auto roles = object.find("roles")) read_roles(*roles, to.roles);
  object.refuse_unknown_keys();
}

void read_http(const value& from, http_section& to) {
  if (from.json().kind == node_kind::null) return;
  object_reader object(from);
  if (const auto listen = object.find("listen")) {
    std::string text;
    if (listen->read_string(text, 256, true)) {
      std::string why;
      const std::optional<endpoint> address = parse_endpoint(text, &why);
      if (!address && !text.empty()) {
        listen->complain(in_quotes(text) + " is no address to listen on: " + why,
                         "write ADDRESS:PORT such as \"127.0.0.1:9180\" or \"[::1]:9180\", or \"\" for no HTTP");
      }
      to.listen = address;
    }
  }
  object.refuse_unknown_keys();
}

void read_log(const value& from, log_section& to) {
  object_reader object(from);
  std::size_t word = 0;
  if (const auto level = object.find("level"); level && level->read_word(word, log_levels)) {
    to.level = static_cast<log_level>(word);
  }
  if (const auto format = object.find("format"); format && format->read_word(word, log_formats)) {
    to.format = static_cast<log_format>(word);
  }
  object.refuse_unknown_keys();
}

void read_metrics(const value& from, metrics_section& to) {
  object_reader object(from);
  if (const auto go_compat = object.find("go_compat")) go_compat->read_bool(to.go_compat);
  object.refuse_unknown_keys();
}

}  // namespace rtd::config
