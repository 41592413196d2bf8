#include "daemon/protocol/json.h"

#include <utility>
#include <vector>

#include "daemon/protocol/text.h"

namespace rtd::protocol {
namespace {

using nlohmann::json;

// Builds the document event by event. Returning false from an event stops the parser.
class builder {
 public:
  using number_integer_t = json::number_integer_t;
  using number_unsigned_t = json::number_unsigned_t;
  using number_float_t = json::number_float_t;
  using string_t = json::string_t;
  using binary_t = json::binary_t;

  explicit builder(const json_limits& limits) : limits_(limits) {}

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(number_integer_t value) { return put(value); }
  bool number_unsigned(number_unsigned_t value) { return put(value); }
  bool number_float(number_float_t value, const string_t&) { return put(value); }
  bool string(string_t& value) { return put(std::move(value)); }
  bool binary(binary_t&) { return fail("binary data"); }
  bool start_object(std::size_t) { return open(json::object()); }
  bool start_array(std::size_t) { return open(json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(string_t& value) {
    auto [place, is_new] = open_.back()->get_ref<json::object_t&>().try_emplace(std::move(value), nullptr);
    if (!is_new) return fail("the key \"" + clean_text(place->first, 64) + "\" comes twice");
    slot_ = &place->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& problem) {
    // The library's text starts with its own error number in brackets; what follows reads well.
    std::string_view text = problem.what();
    if (const auto end = text.find("] "); end != std::string_view::npos) text.remove_prefix(end + 2);
    error_ = clean_text(text, 300);
    if (error_.find("column") == std::string::npos) error_ += " (at byte " + std::to_string(position) + ")";
    return false;
  }

  json_result take() && {
    if (!error_.empty()) return {std::nullopt, std::move(error_)};
    return {std::move(root_), {}};
  }
  bool failed() const { return !error_.empty(); }

 private:
  bool fail(std::string text) {
    error_ = std::move(text);
    return false;
  }

  json* place(json&& value) {
    if (++values_ > limits_.max_values) {
      fail("more than " + std::to_string(limits_.max_values) + " values");
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_object()) {
      *slot_ = std::move(value);
      return slot_;
    }
    auto& array = open_.back()->get_ref<json::array_t&>();
    array.push_back(std::move(value));
    return &array.back();
  }

  bool put(json value) { return place(std::move(value)) != nullptr; }

  bool open(json value) {
    if (open_.size() >= limits_.max_depth)
      return fail("nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    json* placed = place(std::move(value));
    if (placed == nullptr) return false;
    // An element's address is stable while it is open: its parent grows only after it is closed.
    open_.push_back(placed);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const json_limits& limits_;
  json root_;
  json* slot_ = nullptr;
  std::vector<json*> open_;
  std::size_t values_ = 0;
  std::string error_;
};

}  // namespace

json_result parse_json(std::string_view text, const json_limits& limits) {
  if (text.size() > limits.max_bytes)
    return {std::nullopt, std::to_string(text.size()) + " bytes, more than " + std::to_string(limits.max_bytes)};
  builder sink(limits);
  const bool good = json::sax_parse(text.begin(), text.end(), &sink);
  if (!good && !sink.failed()) return {std::nullopt, "not JSON"};
  return std::move(sink).take();
}

std::string to_line(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace rtd::protocol
