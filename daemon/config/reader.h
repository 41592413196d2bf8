// Reads checked C++ values out of a document, and reports what does not fit.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/config/document.h"
#include "daemon/config/problem.h"

namespace rtd::config {

/// A value of the document, the way to it, and where to complain about it. The read functions leave their target alone
/// and report a problem when the value does not fit; then they return false.
class value {
 public:
  value(const node& json, std::string pointer, problem_list& problems)
      : json_(&json), pointer_(std::move(pointer)), problems_(&problems) {}

  const node& json() const noexcept { return *json_; }
  const std::string& pointer() const noexcept { return pointer_; }
  problem_list& problems() const noexcept { return *problems_; }

  void complain(std::string message, std::string hint = {}) const;
  /// "must be EXPECTED, not VALUE". Always false.
  bool refuse(std::string_view expected, std::string hint = {}) const;

  bool read_bool(bool& to) const;
  bool read_integer(std::int64_t& to, std::int64_t least, std::int64_t most, std::string_view hint = {}) const;
  /// A number, whole or not.
  bool read_number(double& to, double least, double most, std::string_view hint = {}) const;
  /// A string of at most `most_bytes`, not empty unless `may_be_empty`.
  bool read_string(std::string& to, std::size_t most_bytes, bool may_be_empty = false) const;
  /// One of the words; the answer is its index.
  bool read_word(std::size_t& to, std::span<const std::string_view> words) const;
  /// A duration string (duration.h) within the bounds.
  bool read_duration(std::chrono::nanoseconds& to, std::chrono::nanoseconds least, std::chrono::nanoseconds most) const;
  /// A number of bytes or a size string (size.h) within the bounds.
  bool read_size(std::uint64_t& to, std::uint64_t least, std::uint64_t most, std::string_view hint = {}) const;
  /// A path, made absolute against `base` and free of "." and ".." parts.
  bool read_path(std::string& to, std::string_view base) const;

 private:
  const node* json_;
  std::string pointer_;
  problem_list* problems_;
};

/// Reads an object key by key, and reports the keys that nobody asked for.
class object_reader {
 public:
  /// Reports a problem when the value is no object; then every find() comes back empty.
  explicit object_reader(const value& whole);

  /// The value of a key, or nothing when it is absent. Remembers the key as known.
  std::optional<value> find(std::string_view key);
  /// As find; a missing key is a problem of the object, with `hint` as the remedy.
  std::optional<value> require(std::string_view key, std::string hint);
  /// Reports every key that was never asked for.
  void refuse_unknown_keys();

 private:
  value whole_;
  std::vector<std::string_view> known_;
};

/// Calls `read_entry(name, value, place of the name)` for each entry of an object that maps names to things. Reports a
/// problem when the value is no object.
template <class Function>
void for_each_entry(const value& whole, Function&& read_entry) {
  if (whole.json().kind != node_kind::object) {
    whole.refuse("an object that maps names to what they mean");
    return;
  }
  for (const member& entry : whole.json().members) {
    read_entry(entry.name, value(entry.value, child_pointer(whole.pointer(), entry.name), whole.problems()), entry.at);
  }
}

}  // namespace rtd::config
