// A profile in the format of pprof (profile.proto of github.com/google/pprof), which `go tool pprof`, Parca, Pyroscope
// and others read.
//
// The format is a protocol buffer of nine small messages; it is written by hand, without a generator and its library:
// varints and pieces of bytes with a length are all that there is. A profile repeats its stacks and names, so each is
// kept once and referred to by number: names by their place in a table of strings, locations, functions and mappings
// by identifiers, which count from 1. Not compressed: readers take it as it is, and gzip is what files have.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rtd::host {

class pprof_writer {
 public:
  /// What a value of a sample is: {"inuse_space", "bytes"}.
  struct value_type {
    std::string_view type;
    std::string_view unit;
  };
  /// A loaded file: where its code lies, and which file it is.
  struct mapping {
    std::uint64_t start = 0;
    std::uint64_t limit = 0;
    std::uint64_t offset = 0;  ///< of the code in the file
    std::string file;
    std::string build_id;  ///< hexadecimal digits; empty: it has none
    bool has_functions = false;
  };
  struct label {
    std::string_view key;
    std::string_view value;
  };

  /// @param values of each sample; a reader shows the last one unless told otherwise
  /// @param period_type, period: a sample is taken, on average, for each so many of these
  pprof_writer(std::span<const value_type> values, value_type period_type, std::int64_t period);

  /// Its identifier. The first mapping is taken for the program itself.
  std::uint64_t add_mapping(const mapping& one);
  /// A place in the code and the function that it lies in (empty: not known); `mapping_id` 0: in none. Its identifier;
  /// the same address gets the same one, whatever else is said about it.
  std::uint64_t location(std::uint64_t address, std::uint64_t mapping_id, std::string_view function);
  /// `locations`: the innermost first. As many values as the constructor was given.
  void add_sample(std::span<const std::uint64_t> locations, std::span<const std::int64_t> values,
                  std::span<const label> labels);

  /// The whole profile, of that moment. Ends the writer's use.
  std::string finish(std::chrono::system_clock::time_point time);

 private:
  std::int64_t text(std::string_view one);
  void add_value_type(int field, const value_type& one);

  std::string out_;
  std::map<std::string, std::int64_t, std::less<>> texts_;
  std::vector<std::string_view> text_order_;  // of the map's keys
  std::map<std::string, std::uint64_t, std::less<>> functions_;
  std::map<std::uint64_t, std::uint64_t> locations_;
  std::uint64_t mapping_count_ = 0;
};

}  // namespace rtd::host
