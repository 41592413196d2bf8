#include "daemon/config/check.h"

#include <cstddef>
#include <iostream>
#include <string_view>

#include "daemon/config/config.h"
#include "daemon/config/document.h"

namespace rtd::config {
namespace {

/// Up to one byte more than a configuration may have, which load_text then refuses.
std::string read_standard_input() {
  std::string text(most_text_bytes + 1, '\0');
  std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::cin.gcount()));
  return text;
}

std::string count_of(std::size_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + ' ' + std::string(count == 1 ? one : many);
}

}  // namespace

int check_config(const std::string& path, std::ostream& out) {
  const bool is_input = path == "-";
  const std::string name = is_input ? "standard input" : path;
  const load_result result = is_input ? load_text(read_standard_input(), ".") : load_file(path);
  for (const problem& found : result.problems) out << format(found, name) << '\n';
  if (!result.value) {
    out << name << ": " << count_of(result.problems.size(), "problem", "problems") << '\n';
    return exit_bad_config;
  }
  const config& good = *result.value;
  out << name << ": good: " << count_of(good.sandboxes.size(), "sandbox", "sandboxes") << ", "
      << count_of(good.plugins.size(), "plugin", "plugins") << ", " << count_of(good.tasks.size(), "task", "tasks")
      << '\n';
  return 0;
}

}  // namespace rtd::config
