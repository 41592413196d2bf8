// Lets a script ask the parser. Each line of standard input is a JSON string that holds the text of a configuration;
// each is answered with one line: {"config": …} as to_json gives it, or {"problems": ["LINE:COLUMN: POINTER: …"]}. With
// the argument --schema it prints the embedded JSON Schema instead.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/config/config.h"
#include "daemon/config/schema.h"

int main(int count, char** arguments) {
  if (count == 2 && std::string_view(arguments[1]) == "--schema") {
    std::cout << rtd::config::schema_text();
    return 0;
  }
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    const rtd::config::load_result result =
        rtd::config::load_text(nlohmann::json::parse(line).get<std::string>(), "/etc/rtd");
    nlohmann::json answer = nlohmann::json::object();
    if (result.value) {
      answer["config"] = rtd::config::to_json(*result.value);
    } else {
      answer["problems"] = nlohmann::json::array();
      for (const rtd::config::problem& found : result.problems) answer["problems"].push_back(format(found, "text"));
    }
    std::cout << answer.dump() << '\n';
  }
  return 0;
}
