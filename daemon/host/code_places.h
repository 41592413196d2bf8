// What lies at the addresses of a profile: modules and functions.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace rtd::host {

/// A loaded file and the code of it that an address lies in.
struct code_module {
  std::uint64_t start = 0;   ///< of the segment of code, in memory
  std::uint64_t limit = 0;   ///< behind its end
  std::uint64_t offset = 0;  ///< of it in the file
  std::string file;          ///< as the loader knows it; the one that was executed for the program
  std::string build_id;      ///< hexadecimal digits; empty: it has none
};

struct code_places {
  static constexpr std::size_t no_module = SIZE_MAX;
  struct place {
    std::size_t module = no_module;  ///< of `modules`
    std::string function;            ///< readable; empty: not known
  };
  std::vector<code_module> modules;  ///< the program first, then those that an address lies in
  std::map<std::uint64_t, place> at;
};

/// Looks all of them up. Modules may come and go meanwhile: what is told of one was true while it was loaded. Takes the
/// loader's lock of its list of modules, as dlopen does for a moment; not the one that it holds while a plugin's
/// constructors run. Any kernel thread.
code_places find_code_places(std::span<const std::uint64_t> addresses);

}  // namespace rtd::host
