#include "daemon/config/reader.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "daemon/config/duration.h"
#include "daemon/config/size.h"
#include "daemon/config/suggest.h"
#include "daemon/config/text.h"

namespace rtd::config {
namespace {

/// The longest path that the kernel takes, with its NUL.
constexpr std::size_t most_path_bytes = 4096;

/// A number, true or false: what a string may have been meant by.
bool is_scalar(const node& json) {
  return json.kind == node_kind::integer || json.kind == node_kind::real || json.kind == node_kind::boolean;
}

std::string range_text(std::string_view least, std::string_view most) {
  return "from " + std::string(least) + " to " + std::string(most);
}

}  // namespace

void value::complain(std::string message, std::string hint) const {
  problems_->add(pointer_, json_->at, std::move(message), std::move(hint));
}

bool value::refuse(std::string_view expected, std::string hint) const {
  complain("must be " + std::string(expected) + ", not " + describe(*json_), std::move(hint));
  return false;
}

bool value::read_bool(bool& to) const {
  if (json_->kind != node_kind::boolean)
    return refuse("true or false", json_->kind == node_kind::string ? "write it without quotes" : "");
  to = json_->boolean;
  return true;
}

bool value::read_integer(std::int64_t& to, std::int64_t least, std::int64_t most, std::string_view hint) const {
  if (json_->kind != node_kind::integer || json_->integer < least || json_->integer > most) {
    std::string remedy(hint);
    if (json_->kind == node_kind::string) remedy = "write a number, without quotes";
    if (json_->kind == node_kind::real) remedy = "write it without fraction and exponent";
    return refuse("a whole number " + range_text(std::to_string(least), std::to_string(most)), remedy);
  }
  to = json_->integer;
  return true;
}

bool value::read_number(double& to, double least, double most, std::string_view hint) const {
  const bool is_number = json_->kind == node_kind::integer || json_->kind == node_kind::real;
  const double number = is_number ? std::strtod(json_->text.c_str(), nullptr) : least - 1;
  if (!is_number || !(number >= least && number <= most)) {
    std::string remedy(hint);
    if (json_->kind == node_kind::string) remedy = "write a number, without quotes";
    char bounds[2][32];
    std::snprintf(bounds[0], sizeof bounds[0], "%g", least);
    std::snprintf(bounds[1], sizeof bounds[1], "%g", most);
    return refuse("a number " + range_text(bounds[0], bounds[1]), remedy);
  }
  to = number;
  return true;
}

bool value::read_string(std::string& to, std::size_t most_bytes, bool may_be_empty) const {
  if (json_->kind != node_kind::string) return refuse("a string", is_scalar(*json_) ? "write it in double quotes" : "");
  if (json_->text.empty() && !may_be_empty) {
    complain("must not be empty");
    return false;
  }
  if (json_->text.size() > most_bytes) {
    complain("the string " + in_quotes(json_->text, 24) + " has " + std::to_string(json_->text.size()) + " bytes",
             "at most " + std::to_string(most_bytes) + " are allowed");
    return false;
  }
  to = json_->text;
  return true;
}

bool value::read_word(std::size_t& to, std::span<const std::string_view> words) const {
  const std::vector<std::string_view> choices(words.begin(), words.end());
  if (json_->kind == node_kind::string) {
    const auto found = std::find(words.begin(), words.end(), json_->text);
    if (found != words.end()) {
      to = static_cast<std::size_t>(found - words.begin());
      return true;
    }
  }
  return refuse(list_of(choices, "or"), json_->kind == node_kind::string ? did_you_mean(json_->text, choices) : "");
}

bool value::read_duration(std::chrono::nanoseconds& to, std::chrono::nanoseconds least,
                          std::chrono::nanoseconds most) const {
  if (json_->kind != node_kind::string) {
    const bool number = json_->kind == node_kind::integer && json_->text.size() < 12;
    return refuse("a duration string such as \"500ms\" or \"1m30s\"",
                  number ? "if seconds are meant, write \"" + json_->text + "s\"" : "");
  }
  std::string why;
  const std::optional<std::chrono::nanoseconds> length = parse_duration(json_->text, &why);
  if (!length) {
    complain(in_quotes(json_->text) + " is no duration: " + why,
             "write numbers with d, h, m, s, ms, us or ns, such as \"500ms\" or \"1m30s\"");
    return false;
  }
  if (*length < least || *length > most) {
    complain("the duration " + in_quotes(json_->text) + " is out of range",
             "allowed is " + range_text(format_duration(least), format_duration(most)));
    return false;
  }
  to = *length;
  return true;
}

bool value::read_size(std::uint64_t& to, std::uint64_t least, std::uint64_t most, std::string_view hint) const {
  std::optional<std::uint64_t> bytes;
  if (json_->kind == node_kind::integer && json_->integer >= 0) {
    bytes = static_cast<std::uint64_t>(json_->integer);
  } else if (json_->kind == node_kind::string) {
    std::string why;
    bytes = parse_size(json_->text, &why);
    if (!bytes) {
      complain(in_quotes(json_->text) + " is no size: " + why,
               "write a number of bytes, or a string with B, KiB, MiB, GiB or TiB such as \"256KiB\"");
      return false;
    }
  } else {
    return refuse("a number of bytes or a string such as \"256KiB\"");
  }
  if (*bytes < least || *bytes > most) {
    std::string remedy = "allowed is " + range_text(format_size(least), format_size(most));
    if (!hint.empty()) remedy += "; " + std::string(hint);
    complain(
        "the size " + (json_->kind == node_kind::string ? in_quotes(json_->text) : json_->text) + " is out of range",
        remedy);
    return false;
  }
  to = *bytes;
  return true;
}

bool value::read_path(std::string& to, std::string_view base) const {
  std::string written;
  if (!read_string(written, most_path_bytes - 1)) return false;
  if (written.find('\0') != std::string::npos) return false;  // reported when the text was parsed
  std::string resolved = (std::filesystem::path(base) / written).lexically_normal().string();
  if (resolved.size() >= most_path_bytes) {
    complain("the path has " + std::to_string(resolved.size()) + " bytes once it is absolute",
             "at most " + std::to_string(most_path_bytes - 1) + " are allowed");
    return false;
  }
  to = std::move(resolved);
  return true;
}

object_reader::object_reader(const value& whole) : whole_(whole) {
  if (whole.json().kind != node_kind::object) whole.refuse("an object");
}

std::optional<value> object_reader::find(std::string_view key) {
  known_.push_back(key);
  for (const member& candidate : whole_.json().members) {
    if (candidate.name == key) return value(candidate.value, child_pointer(whole_.pointer(), key), whole_.problems());
  }
  return std::nullopt;
}

std::optional<value> object_reader::require(std::string_view key, std::string hint) {
  std::optional<value> found = find(key);
  if (!found && whole_.json().kind == node_kind::object) {
    whole_.complain("the key " + in_quotes(key) + " is missing", std::move(hint));
  }
  return found;
}

void object_reader::refuse_unknown_keys() {
  for (const member& entry : whole_.json().members) {
    if (std::find(known_.begin(), known_.end(), entry.name) != known_.end()) continue;
    std::string remedy;
    if (!whole_.problems().full()) {
      remedy = did_you_mean(entry.name, known_, "known here: " + list_of(known_, "and"));
    }
    whole_.problems().add(child_pointer(whole_.pointer(), entry.name), entry.at, "unknown key " + in_quotes(entry.name),
                          remedy);
  }
}

}  // namespace rtd::config
