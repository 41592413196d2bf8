#include "daemon/host/plugin_note.h"

#include <elf.h>

#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/host/request_error.h"
#include "daemon/protocol/text.h"
#include "rt/plugin.h"
#include "rt/runtime.h"

namespace rtd::host {

namespace {

using rt::plugin_abi::note;
using rt::plugin_abi::note_header;

constexpr std::uint64_t most_note_bytes = 1U << 20U;
constexpr std::string_view owner("rtd\0", 4);
constexpr std::uint32_t note_type = 1;

// The descriptor of the first note of ours in a note segment. Lengths in the bytes are a stranger's.
std::optional<std::vector<unsigned char>> find_descriptor(const std::vector<unsigned char>& bytes, std::size_t align) {
  constexpr std::size_t fixed = 3 * sizeof(std::uint32_t);
  auto padded = [&](std::uint64_t length) { return (length + align - 1) / align * align; };
  std::uint64_t at = 0;
  while (bytes.size() - at >= fixed) {
    std::uint32_t words[3];  // length of the owner, length of the descriptor, type
    std::memcpy(words, bytes.data() + at, fixed);
    std::uint64_t owner_at = at + fixed;
    std::uint64_t descriptor_at = at + padded(fixed + std::uint64_t{words[0]});
    std::uint64_t next = descriptor_at + padded(words[1]);
    if (owner_at + words[0] > bytes.size() || descriptor_at + words[1] > bytes.size()) return std::nullopt;
    if (words[2] == note_type && words[0] == owner.size() &&
        std::memcmp(bytes.data() + owner_at, owner.data(), owner.size()) == 0) {
      auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(descriptor_at);
      return std::vector<unsigned char>(begin, begin + words[1]);
    }
    if (next > bytes.size()) return std::nullopt;
    at = next;
  }
  return std::nullopt;
}

[[noreturn]] void refuse(const elf_file& file, const std::string& why) {
  throw request_error("plugin_no_note", file.path() + ": " + why);
}

// A text of fixed length in the note: zero-terminated, printable.
template <std::size_t Size>
std::string text_of(const elf_file& file, const char (&field)[Size], const char* what) {
  std::size_t length = strnlen(field, Size);
  std::string text(field, length);
  if (length == Size || rtd::protocol::clean_text(text, 4 * Size) != text) {
    refuse(file, std::string("the plugin's note is damaged: its ") + what + " is no text");
  }
  return text;
}

}  // namespace

plugin_note read_plugin_note(const elf_file& file) {
  std::optional<std::vector<unsigned char>> descriptor;
  for (const elf_file::segment& segment : file.segments()) {
    if (segment.type != PT_NOTE || segment.file_size > most_note_bytes) continue;
    // The padding of notes follows their segment's alignment, which is 4 for ours and 8 for some of the compiler's.
    descriptor = find_descriptor(file.read(segment.offset, segment.file_size), segment.align == 8 ? 8 : 4);
    if (descriptor) break;
  }
  if (!descriptor) {
    refuse(file, "is a shared object, but not a plugin of rtd: it has no rtd note (does a source file say RT_PLUGIN?)");
  }
  plugin_note result;
  constexpr std::size_t numbers = 2 * sizeof(std::uint32_t);
  if (descriptor->size() < numbers) refuse(file, "the plugin's note is damaged: it is too short");
  std::memcpy(&result.abi, descriptor->data(), sizeof result.abi);
  std::memcpy(&result.flags, descriptor->data() + sizeof result.abi, sizeof result.flags);
  if (result.abi != RT_ABI_VERSION) return result;

  note whole{};
  if (descriptor->size() != sizeof(note) - sizeof(note_header)) {
    refuse(file, "the plugin's note is damaged: it has " + std::to_string(descriptor->size()) + " bytes instead of " +
                     std::to_string(sizeof(note) - sizeof(note_header)));
  }
  std::memcpy(reinterpret_cast<char*>(&whole) + sizeof(note_header), descriptor->data(), descriptor->size());
  result.name = text_of(file, whole.name, "name");
  result.version = text_of(file, whole.version, "version");
  result.description = text_of(file, whole.description, "description");
  if (!rtd::protocol::is_name(result.name)) {
    refuse(file, "the plugin calls itself \"" + result.name + "\"; a name matches [a-z][a-z0-9_-]*");
  }
  return result;
}

void check_plugin_note(const plugin_note& note, const std::string& path) {
  if (note.abi != RT_ABI_VERSION) {
    throw request_error("plugin_abi_mismatch", path + ": speaks plugin ABI " + std::to_string(note.abi) +
                                                   ", this host speaks ABI " + std::to_string(RT_ABI_VERSION) +
                                                   ": rebuild it against rtd-dev of version " + rt::version());
  }
  struct property {
    std::uint32_t flag;
    const char* name;
  };
  constexpr property properties[] = {
      {rt::plugin_abi::flag_address_sanitizer, "AddressSanitizer"},
      {rt::plugin_abi::flag_thread_sanitizer, "ThreadSanitizer"},
      {rt::plugin_abi::flag_old_string_abi, "the old std::string ABI (_GLIBCXX_USE_CXX11_ABI=0)"}};
  constexpr std::uint32_t own = rt::plugin_abi::build_flags();
  if (note.flags == own) return;
  std::string why;
  std::uint32_t known = 0;
  for (const property& one : properties) {
    known |= one.flag;
    if (((note.flags ^ own) & one.flag) == 0) continue;
    if (!why.empty()) why += "; ";
    why += (note.flags & one.flag) != 0 ? std::string("it is built with ") + one.name + ", this host is not"
                                        : std::string("this host is built with ") + one.name + ", it is not";
  }
  if ((note.flags & ~known) != 0) {
    if (!why.empty()) why += "; ";
    why += "it has build properties that this host does not know";
  }
  throw request_error("plugin_build_mismatch", path + ": " + why + ": build both alike");
}

}  // namespace rtd::host
