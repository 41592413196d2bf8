#include "daemon/supervisor/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "daemon/protocol/json.h"
#include "daemon/protocol/text.h"

namespace rtd::supervisor {
namespace {

constexpr std::string_view magic = "rtd-state";
constexpr std::string_view format_version = "1";
constexpr int kept_aside = 5;
constexpr std::size_t most_header_bytes = 64;
// The document's depth is that of a task's parameters and history, the number of values that of 4096 full tasks.
constexpr protocol::json_limits limits{most_state_bytes, 16, 10'000'000};

[[noreturn]] void fail(const std::string& path, const char* step) {
  throw std::runtime_error(path + ": " + step + ": " + std::strerror(errno));
}

class descriptor {
 public:
  explicit descriptor(int number) : number_(number) {}
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int get() const noexcept { return number_; }
  /// Closes it now; some file systems tell only then that nothing could be written.
  bool close() { return ::close(std::exchange(number_, -1)) == 0; }

 private:
  int number_;
};

std::uint32_t checksum(std::string_view text) {
  return static_cast<std::uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<z_size_t>(text.size())));
}

std::string hexadecimal(std::uint32_t number) {
  char text[16];
  std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(number));
  return text;
}

// The words of the header line; an empty last one where there are fewer.
std::array<std::string_view, 4> words_of(std::string_view line) {
  std::array<std::string_view, 4> words;
  for (auto& word : words) {
    const auto end = line.find(' ');
    word = line.substr(0, end);
    line = end == std::string_view::npos ? std::string_view() : line.substr(end + 1);
  }
  return words;
}

void write_all(int to, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(to, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "write");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

std::string encode_state(const nlohmann::json& content) {
  const std::string text = protocol::to_line(content) + "\n";
  return std::string(magic) + " " + std::string(format_version) + " " + hexadecimal(checksum(text)) + " " +
         std::to_string(text.size()) + "\n" + text;
}

decoded_state decode_state(std::string_view text) {
  const auto refuse = [](std::string why) { return decoded_state{std::nullopt, std::move(why)}; };
  const auto end = text.substr(0, most_header_bytes).find('\n');
  const auto [first, version, crc, length_text] = words_of(text.substr(0, end == std::string_view::npos ? 0 : end));
  if (text.empty()) return refuse("it is empty");
  if (first != magic) return refuse("it does not begin with \"rtd-state\"");
  if (version != format_version)
    return refuse("it has format " + protocol::clean_text(version, 16) + ", and this rtd reads format 1");
  const std::string_view body = text.substr(end + 1);
  std::uint64_t length = 0;
  const auto read = std::from_chars(length_text.data(), length_text.data() + length_text.size(), length);
  if (read.ec != std::errc() || read.ptr != length_text.data() + length_text.size())
    return refuse("its header has no length");
  if (length != body.size())
    return refuse("it has " + std::to_string(body.size()) + " bytes of text, and its header says " +
                  std::to_string(length));
  if (const std::string found = hexadecimal(checksum(body)); crc != found)
    return refuse("its checksum is " + found + ", and its header says " + protocol::clean_text(crc, 16));
  auto parsed = protocol::parse_json(body, limits);
  if (!parsed) return refuse("it is no JSON: " + parsed.error);
  if (!parsed.value->is_object()) return refuse("it holds no object");
  return {std::move(parsed.value), {}};
}

std::optional<std::string> read_state_file(const std::string& path) {
  const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT) return std::nullopt;
    fail(path, "open");
  }
  struct stat about = {};
  if (::fstat(file.get(), &about) != 0) fail(path, "stat");
  if (!S_ISREG(about.st_mode)) throw std::runtime_error(path + ": it is no regular file");
  if (static_cast<std::uint64_t>(about.st_size) > most_state_bytes)
    throw std::runtime_error(path + ": it has " + std::to_string(about.st_size) + " bytes, which rtd never writes");
  std::string text(static_cast<std::size_t>(about.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, "read");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  return text;
}

void write_state_file(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  // What an interrupted write left there is nobody's, and a link that somebody laid there is not followed.
  if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) fail(fresh, "unlink");
  descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) fail(fresh, "create");
  write_all(file.get(), text, fresh);
  if (::fsync(file.get()) != 0) fail(fresh, "fsync");
  if (!file.close()) fail(fresh, "close");
  if (::rename(fresh.c_str(), path.c_str()) != 0) fail(path, "rename");
  // Without this the new name itself may be lost with the power.
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const descriptor names(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (names.get() < 0) fail(folder, "open");
  if (::fsync(names.get()) != 0) fail(folder, "fsync");
}

std::string set_aside(const std::string& path) {
  const auto name = [&](int number) { return path + ".bad-" + std::to_string(number); };
  // Not left to the rename that takes its name: a folder there, or a file where a folder is to go, would refuse that.
  std::error_code error;
  std::filesystem::remove_all(name(kept_aside), error);
  if (error) throw std::runtime_error(name(kept_aside) + ": remove: " + error.message());
  for (int number = kept_aside - 1; number >= 1; --number)
    if (::rename(name(number).c_str(), name(number + 1).c_str()) != 0 && errno != ENOENT) fail(name(number), "rename");
  if (::rename(path.c_str(), name(1).c_str()) != 0) fail(path, "rename");
  return name(1);
}

}  // namespace rtd::supervisor
