// A folder that is gone after the test.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace rtd::test {

class temporary_folder {
 public:
  temporary_folder() {
    char name[] = "/tmp/rtd-unit-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name, const std::string& content = "x") const {
    const std::string full = path_ + "/" + name;
    std::ofstream(full) << content;
    return full;
  }

 private:
  std::string path_;
};

}  // namespace rtd::test
