// The help pages.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace rtd::ctl {

class help_formatter : public CLI::FormatterBase {
 public:
  std::string make_help(const CLI::App* command, std::string name, CLI::AppFormatMode mode) const override;
};

/// "rtctl task run [OPTION]... PLUGIN ENTRY": how the command is called.
std::string usage_of(const CLI::App& command);

}  // namespace rtd::ctl
