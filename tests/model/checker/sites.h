// Where in the source an operation of the code under test stands.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rt_model {

struct source_site {
  std::string file;  // as the compiler was given it
  int line = 0;
  std::string function;
};

/// The places of these return addresses, from the program's own debug information: of each the innermost line that is
/// not of the standard library.
std::vector<source_site> find_sites(const std::vector<std::uintptr_t>& addresses);
/// "folder/file.h:12 function"; looks one up.
std::string describe_site(std::uintptr_t address);
std::string describe(const source_site& site);
/// The text of the line, without the blanks around it.
std::string source_line(const source_site& site);

}  // namespace rt_model
