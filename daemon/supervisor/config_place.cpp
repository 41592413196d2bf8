#include "daemon/supervisor/config_place.h"

#include <fstream>
#include <iterator>
#include <string_view>

#include "daemon/config/document.h"

namespace rtd::supervisor {

void place_problem(config::problem& problem, const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  config::problem_list ignored;
  const auto document = config::parse_document(text, ignored);
  if (!document) return;
  // Names have neither '/' nor '~', so the pointer needs no unescaping.
  const config::node* at = &*document;
  std::string_view rest = problem.pointer;
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view key = rest.substr(0, rest.find('/'));
    rest.remove_prefix(key.size());
    const config::node* next = nullptr;
    for (const auto& member : at->members)
      if (member.name == key) {
        problem.line = member.at.line;
        problem.column = member.at.column;
        next = &member.value;
      }
    if (next == nullptr) return;
    at = next;
  }
}

}  // namespace rtd::supervisor
