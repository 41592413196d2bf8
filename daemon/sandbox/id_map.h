// The id maps of a new user namespace in which one user and one group exist, under the numbers that they have outside.
#pragma once

#include <cstdint>
#include <string>

namespace rtd::sandbox {

class id_map {
 public:
  id_map(std::uint32_t user, std::uint32_t group);

  /// Writes the maps of the calling process, which has just made its namespace. `proc` is a handle of /proc: there may
  /// be none any more at its path. Returns 0 or an errno. Makes system calls only.
  int write(int proc) const noexcept;

 private:
  std::string user_;
  std::string group_;
};

}  // namespace rtd::sandbox
