// A plugin's file: all that the host reads of it before the loader sees it.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "daemon/host/elf_file.h"
#include "daemon/host/plugin_note.h"
#include "daemon/host/request_error.h"
#include "daemon/protocol/text.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace rtd;
using fuzz::require;

void read_all(const std::string& path, std::size_t size) {
  const host::elf_file file(path);
  require(file.size() == size, "the file is as long as it is");
  for (const auto& segment : file.segments())
    if (segment.type == 1)  // PT_LOAD
      require(segment.offset + segment.file_size <= size, "a segment lies in the file");
  for (const auto& symbol : file.symbols()) require(!symbol.name.empty(), "a symbol has a name");
  const host::plugin_note note = host::read_plugin_note(file);
  require(note.name.empty() || protocol::is_name(note.name), "a plugin's name is one");
  host::check_plugin_note(note, path);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = ::memfd_create("plugin", MFD_CLOEXEC);
  const auto length = static_cast<off_t>(size);
  require(::ftruncate(file, 0) == 0 && ::ftruncate(file, length) == 0, "a file in memory has any length");
  require(size == 0 || ::pwrite(file, data, size, 0) == length, "a file in memory can be written");
  try {
    read_all("/proc/self/fd/" + std::to_string(file), size);
  } catch (const host::request_error&) {
    // Refused, as most are.
  }
  return 0;
}
