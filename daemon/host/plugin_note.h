// What a plugin says about itself in its file: the ELF note that RT_PLUGIN leaves.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/host/elf_file.h"

namespace rtd::host {

struct plugin_note {
  std::uint32_t abi = 0;
  std::uint32_t flags = 0;  // rt::plugin_abi::flag_…
  // Of a plugin of this host's ABI only: another one's note may be laid out differently.
  std::string name;
  std::string version;
  std::string description;
};

/// Finds the note. @throws request_error plugin_no_note when there is none, or it is damaged.
plugin_note read_plugin_note(const elf_file& file);

/// Whether this host can run such a plugin. @throws request_error plugin_abi_mismatch, plugin_build_mismatch
void check_plugin_note(const plugin_note& note, const std::string& path);

}  // namespace rtd::host
