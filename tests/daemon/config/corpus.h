// The files of tests/daemon/config/data and of config/.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

// The build names both folders; without it they are found from the repository's root.
#if !defined(RTD_CONFIG_TEST_DATA)
#define RTD_CONFIG_TEST_DATA "tests/daemon/config/data"
#endif
#if !defined(RTD_SHIPPED_CONFIG)
#define RTD_SHIPPED_CONFIG "config"
#endif

namespace rtd::config::test {

inline std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The .json files of a folder, sorted.
inline std::vector<std::filesystem::path> json_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> result;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") result.push_back(entry.path());
  }
  std::sort(result.begin(), result.end());
  return result;
}

inline std::vector<std::filesystem::path> bad_files() { return json_files(RTD_CONFIG_TEST_DATA "/bad"); }

/// Good ones, among them all that are shipped.
inline std::vector<std::filesystem::path> good_files() {
  std::vector<std::filesystem::path> result = json_files(RTD_CONFIG_TEST_DATA "/good");
  for (const auto& path : json_files(RTD_SHIPPED_CONFIG "/examples")) result.push_back(path);
  result.emplace_back(RTD_SHIPPED_CONFIG "/rtd.json");
  return result;
}

/// For gtest: the file's name without what a test's name may not contain.
inline std::string test_name(const std::filesystem::path& path) {
  std::string name = path.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

}  // namespace rtd::config::test
