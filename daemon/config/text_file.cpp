#include "daemon/config/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

#include "daemon/config/document.h"
#include "daemon/config/text.h"

namespace rtd::config {
namespace {

class open_file {
 public:
  explicit open_file(const char* path) noexcept
      : descriptor_(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
  ~open_file() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;
  int get() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

void report(const std::string& doing, problem_list& problems) {
  const int error = errno;
  std::string hint;
  if (error == ENOENT) hint = "check the path";
  if (error == EACCES) hint = "let the user of rtd read it";
  problems.add_for_file("cannot " + doing + ": " + std::generic_category().message(error), hint);
}

}  // namespace

std::optional<std::string> read_text_file(const std::string& path, problem_list& problems) {
  const open_file file(path.c_str());
  if (file.get() < 0) {
    report("open the file", problems);
    return std::nullopt;
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    report("examine the file", problems);
    return std::nullopt;
  }
  if (!S_ISREG(status.st_mode)) {
    problems.add_for_file(S_ISDIR(status.st_mode) ? "this is a folder" : "this is not a regular file",
                          "name a file with the configuration");
    return std::nullopt;
  }
  // One byte more than allowed tells a file that is too large, even when it grows meanwhile.
  std::string text(most_text_bytes + 1, '\0');
  std::size_t length = 0;
  while (length < text.size()) {
    const ssize_t count = ::read(file.get(), text.data() + length, text.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      report("read the file", problems);
      return std::nullopt;
    }
    if (count == 0) break;
    length += static_cast<std::size_t>(count);
  }
  if (length > most_text_bytes) {
    problems.add_for_file("the file is larger than 4 MiB", "shorten it");
    return std::nullopt;
  }
  text.resize(length);
  return text;
}

}  // namespace rtd::config
