#include "daemon/host/pprof_writer.h"

namespace rtd::host {

namespace {

// Numbers of the fields, from profile.proto.
namespace in_profile {
constexpr int sample_type = 1;
constexpr int sample = 2;
constexpr int mapping = 3;
constexpr int location = 4;
constexpr int function = 5;
constexpr int string_table = 6;
constexpr int time_nanos = 9;
constexpr int period_type = 11;
constexpr int period = 12;
}  // namespace in_profile
namespace in_value_type {
constexpr int type = 1;
constexpr int unit = 2;
}  // namespace in_value_type
namespace in_sample {
constexpr int location_id = 1;
constexpr int value = 2;
constexpr int label = 3;
}  // namespace in_sample
namespace in_label {
constexpr int key = 1;
constexpr int str = 2;
}  // namespace in_label
namespace in_mapping {
constexpr int id = 1;
constexpr int memory_start = 2;
constexpr int memory_limit = 3;
constexpr int file_offset = 4;
constexpr int filename = 5;
constexpr int build_id = 6;
constexpr int has_functions = 7;
}  // namespace in_mapping
namespace in_location {
constexpr int id = 1;
constexpr int mapping_id = 2;
constexpr int address = 3;
constexpr int line = 4;
}  // namespace in_location
namespace in_line {
constexpr int function_id = 1;
}  // namespace in_line
namespace in_function {
constexpr int id = 1;
constexpr int name = 2;
constexpr int system_name = 3;
}  // namespace in_function

void put_varint(std::string& to, std::uint64_t value) {
  for (; value >= 128; value >>= 7) to += static_cast<char>((value & 127) | 128);
  to += static_cast<char>(value);
}

// A field is led by its number and by how its value ends.
void put_number(std::string& to, int field, std::uint64_t value) {
  constexpr int as_varint = 0;
  if (value == 0) return;  // what is missing is 0
  put_varint(to, static_cast<std::uint64_t>(field << 3 | as_varint));
  put_varint(to, value);
}
void put_number(std::string& to, int field, std::int64_t value) {
  put_number(to, field, static_cast<std::uint64_t>(value));
}
void put_bytes(std::string& to, int field, std::string_view bytes) {
  constexpr int with_length = 2;
  put_varint(to, static_cast<std::uint64_t>(field << 3 | with_length));
  put_varint(to, bytes.size());
  to += bytes;
}
template <class Number>
void put_numbers(std::string& to, int field, std::span<const Number> values) {
  std::string packed;
  for (const Number value : values) put_varint(packed, static_cast<std::uint64_t>(value));
  put_bytes(to, field, packed);
}

}  // namespace

pprof_writer::pprof_writer(std::span<const value_type> values, value_type period_type, std::int64_t period) {
  text("");  // the first one of the table has to be
  for (const value_type& one : values) add_value_type(in_profile::sample_type, one);
  add_value_type(in_profile::period_type, period_type);
  put_number(out_, in_profile::period, period);
}

void pprof_writer::add_value_type(int field, const value_type& one) {
  std::string message;
  put_number(message, in_value_type::type, text(one.type));
  put_number(message, in_value_type::unit, text(one.unit));
  put_bytes(out_, field, message);
}

std::int64_t pprof_writer::text(std::string_view one) {
  if (const auto found = texts_.find(one); found != texts_.end()) return found->second;
  const auto place = texts_.emplace(one, static_cast<std::int64_t>(text_order_.size())).first;
  text_order_.push_back(place->first);
  return place->second;
}

std::uint64_t pprof_writer::add_mapping(const mapping& one) {
  const std::uint64_t id = ++mapping_count_;
  std::string message;
  put_number(message, in_mapping::id, id);
  put_number(message, in_mapping::memory_start, one.start);
  put_number(message, in_mapping::memory_limit, one.limit);
  put_number(message, in_mapping::file_offset, one.offset);
  put_number(message, in_mapping::filename, text(one.file));
  put_number(message, in_mapping::build_id, text(one.build_id));
  put_number(message, in_mapping::has_functions, std::uint64_t{one.has_functions});
  put_bytes(out_, in_profile::mapping, message);
  return id;
}

std::uint64_t pprof_writer::location(std::uint64_t address, std::uint64_t mapping_id, std::string_view function) {
  if (const auto found = locations_.find(address); found != locations_.end()) return found->second;
  const std::uint64_t id = locations_.size() + 1;
  locations_.emplace(address, id);
  std::string message;
  put_number(message, in_location::id, id);
  put_number(message, in_location::mapping_id, mapping_id);
  put_number(message, in_location::address, address);
  if (!function.empty()) {
    const auto [place, is_new] = functions_.try_emplace(std::string(function), functions_.size() + 1);
    if (is_new) {
      std::string described;
      put_number(described, in_function::id, place->second);
      put_number(described, in_function::name, text(function));
      put_number(described, in_function::system_name, text(function));
      put_bytes(out_, in_profile::function, described);
    }
    std::string line;
    put_number(line, in_line::function_id, place->second);
    put_bytes(message, in_location::line, line);
  }
  put_bytes(out_, in_profile::location, message);
  return id;
}

void pprof_writer::add_sample(std::span<const std::uint64_t> locations, std::span<const std::int64_t> values,
                              std::span<const label> labels) {
  std::string message;
  put_numbers(message, in_sample::location_id, locations);
  put_numbers(message, in_sample::value, values);
  for (const label& one : labels) {
    std::string pair;
    put_number(pair, in_label::key, text(one.key));
    put_number(pair, in_label::str, text(one.value));
    put_bytes(message, in_sample::label, pair);
  }
  put_bytes(out_, in_profile::sample, message);
}

std::string pprof_writer::finish(std::chrono::system_clock::time_point time) {
  put_number(out_, in_profile::time_nanos,
             std::int64_t{std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count()});
  for (const std::string_view one : text_order_) put_bytes(out_, in_profile::string_table, one);
  return std::move(out_);
}

}  // namespace rtd::host
