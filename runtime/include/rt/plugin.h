// What makes a shared object a plugin of rtd.
//
//   static void serve(rt::task& self) { … }
//   RT_PLUGIN("hello", "1.0.0", "Greets every TCP connection")
//   RT_ENTRY(serve, "Accepts and greets until it is stopped")
//
// RT_PLUGIN stands once in a plugin, at namespace scope; RT_ENTRY once for each entry, in any of its source files.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rt/task.h"

/// The number of the binary interface between plugins and the host. A plugin works only with a host of the same number;
/// it grows whenever a public type or an exported function changes incompatibly.
#define RT_ABI_VERSION 1

namespace rt::plugin_abi {

/// Bits of note::flags: properties of the build that host and plugin must share.
inline constexpr std::uint32_t flag_address_sanitizer = 1;
inline constexpr std::uint32_t flag_thread_sanitizer = 2;
inline constexpr std::uint32_t flag_old_string_abi = 4;  // _GLIBCXX_USE_CXX11_ABI=0

/// The descriptor of the ELF note (owner "rtd", type 1), readable from the file without running it: `readelf -n`.
struct note_header {
  std::uint32_t owner_size;
  std::uint32_t descriptor_size;
  std::uint32_t type;
  char owner[4];
};
struct note {
  note_header header;
  std::uint32_t abi;
  std::uint32_t flags;
  char name[64];
  char version[32];
  char description[192];
};
static_assert(sizeof(note) == 16 + 8 + 288, "the note's layout is part of the binary interface");

/// One entry: what RT_ENTRY leaves in the section "rt_entries".
struct entry {
  const char* name;
  const char* description;
  void (*function)(task&);
  std::uint64_t reserved;  // zero
};

/// What the host finds by the symbol "rt_plugin_v1".
struct descriptor {
  const note* plugin_note;
  const entry* first_entry;
  const entry* end_entry;
};

constexpr std::uint32_t build_flags() noexcept {
  std::uint32_t flags = 0;
#if defined(__SANITIZE_ADDRESS__)
  flags |= flag_address_sanitizer;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
  flags |= flag_address_sanitizer;
#endif
#endif
#if defined(__SANITIZE_THREAD__)
  flags |= flag_thread_sanitizer;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
  flags |= flag_thread_sanitizer;
#endif
#endif
#if defined(_GLIBCXX_USE_CXX11_ABI) && !_GLIBCXX_USE_CXX11_ABI
  flags |= flag_old_string_abi;
#endif
  return flags;
}

template <std::size_t Size, std::size_t Length>
constexpr void copy_text(char (&to)[Size], const char (&from)[Length]) noexcept {
  static_assert(Length <= Size, "a plugin's name is at most 63 bytes, its version 31, its description 191");
  for (std::size_t i = 0; i < Length; ++i) to[i] = from[i];
}

template <std::size_t Name, std::size_t Version, std::size_t Description>
constexpr note make_note(const char (&name)[Name], const char (&version)[Version],
                         const char (&description)[Description]) noexcept {
  note result{};
  result.header = {4, sizeof(note) - sizeof(note_header), 1, {'r', 't', 'd', '\0'}};
  result.abi = RT_ABI_VERSION;
  result.flags = build_flags();
  copy_text(result.name, name);
  copy_text(result.version, version);
  copy_text(result.description, description);
  return result;
}

}  // namespace rt::plugin_abi

/// Declares the plugin: `name` ([a-z][a-z0-9_-]*, at most 63 bytes), `version`, `description`, all string literals.
#define RT_PLUGIN(name, version, description)                                                                 \
  extern "C" {                                                                                                \
  extern const ::rt::plugin_abi::entry __start_rt_entries[] __attribute__((visibility("hidden"), weak));      \
  extern const ::rt::plugin_abi::entry __stop_rt_entries[] __attribute__((visibility("hidden"), weak));       \
  extern const ::rt::plugin_abi::note rt_plugin_note __attribute__((visibility("hidden")));                   \
  extern const ::rt::plugin_abi::descriptor rt_plugin_v1 __attribute__((visibility("default")));              \
  __attribute__((section(".note.rtd"), used, aligned(4))) constexpr ::rt::plugin_abi::note rt_plugin_note =   \
      ::rt::plugin_abi::make_note(name, version, description);                                                \
  __attribute__((used))                                                                                       \
  const ::rt::plugin_abi::descriptor rt_plugin_v1 = {&rt_plugin_note, __start_rt_entries, __stop_rt_entries}; \
  }

/// Declares an entry: a function `void(rt::task&)` under its own name, with a description.
#define RT_ENTRY(function, description)                                                                              \
  __attribute__((section("rt_entries"), used,                                                                        \
                 aligned(8))) static const ::rt::plugin_abi::entry rt_entry_of_##function = {#function, description, \
                                                                                             &function, 0};
