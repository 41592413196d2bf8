// The state file on the disk: one JSON document that is there as a whole, or as it was before.
//
//   rtd-state 1 CRC LENGTH\n        eight hexadecimal digits (CRC-32 of the text), the text's bytes
//   {"tasks": …}\n
//
// It is written under another name, forced to the disk, renamed over the former one, and the folder is forced to the
// disk: after a crash of the machine at any moment the name leads to a whole file, the old or the new. The header finds
// what remains: a disk that lied, a copy that broke off, an editor. Rejected: an append-only journal (it must be
// compacted, and so needs the rename as well; the document is small), a database.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::supervisor {

/// A larger file is refused unread: 4096 tasks with full histories take some 40 MiB.
inline constexpr std::size_t most_state_bytes = std::size_t{128} << 20U;

/// The file's text for a document.
std::string encode_state(const nlohmann::json& content);

struct decoded_state {
  std::optional<nlohmann::json> content;  // an object
  std::string problem;                    // why there is none: "its checksum is …, not …"
};

/// Reads a file's text strictly: header, length, checksum, JSON, an object.
decoded_state decode_state(std::string_view text);

/// The text of the file; nothing when there is none. Follows no symbolic link. @throws std::runtime_error naming file
/// and reason.
std::optional<std::string> read_state_file(const std::string& path);

/// Replaces the file, as described above. Blocks until the disk has it. @throws std::runtime_error naming file, step
/// and reason; the former file is untouched then.
void write_state_file(const std::string& path, std::string_view text);

/// Renames what is there in place of a file that can be used, be it a folder, to PATH.bad-1 … PATH.bad-5, the oldest of
/// which goes, a folder with all that is in it; returns the new name.
/// @throws std::runtime_error
std::string set_aside(const std::string& path);

}  // namespace rtd::supervisor
