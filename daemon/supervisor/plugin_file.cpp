#include "daemon/supervisor/plugin_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "daemon/protocol/error.h"
#include "daemon/protocol/text.h"

namespace rtd::supervisor {
namespace {

using protocol::error_kind;
using protocol::rpc_error;

[[noreturn]] void refuse(error_kind kind, const std::string& message, const std::string& hint) {
  throw rpc_error(kind, message, {{"hint", hint}});
}

std::string octal(mode_t mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode & 07777));
  return text;
}

// Somebody who may write the thing could make the daemon run any code.
void check_writers(const std::string& what, const std::string& path, const struct stat& info, uid_t owner) {
  const std::string shown = protocol::clean_text(path, 512);
  if (info.st_uid != 0 && info.st_uid != owner)
    refuse(
        error_kind::plugin_rejected,
        what + " " + shown + " belongs to user " + std::to_string(info.st_uid) + ", who is neither root nor the daemon",
        "chown root " + shown);
  // A sticky folder like /tmp lets only the owner of a file replace it.
  const bool sticky_folder = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0;
  if ((info.st_mode & S_IWOTH) != 0 && !sticky_folder)
    refuse(error_kind::plugin_rejected,
           what + " " + shown + " can be written by everybody (mode " + octal(info.st_mode) + ")",
           "chmod o-w " + shown);
  if ((info.st_mode & S_IWGRP) != 0 && info.st_uid != owner && !sticky_folder)
    refuse(error_kind::plugin_rejected,
           what + " " + shown + " can be written by group " + std::to_string(info.st_gid) + " (mode " +
               octal(info.st_mode) + ")",
           "chmod g-w " + shown);
}

void check_folder(const std::string& file, uid_t owner) {
  const std::string folder = file.substr(0, std::max<std::size_t>(file.rfind('/'), 1));
  struct stat info {};
  if (::stat(folder.c_str(), &info) == 0) check_writers("the folder", folder, info, owner);
}

}  // namespace

file_identity check_plugin_file(const std::string& path, uid_t owner) {
  const std::string shown = protocol::clean_text(path, 512);
  if (path.empty() || path.front() != '/')
    refuse(error_kind::invalid_params, "\"" + shown + "\" is not an absolute path", "begin it with /");
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    const int error = errno;
    refuse(error == ENOENT || error == ENOTDIR ? error_kind::not_found : error_kind::plugin_rejected,
           "cannot look at " + shown + ": " + std::strerror(error),
           error == EACCES ? "the daemon's user must be able to read it and its folders"
                           : "check the plugin's \"path\" and \"plugin_dir\"");
  }
  if (!S_ISREG(info.st_mode))
    refuse(error_kind::plugin_rejected, shown + " is not a regular file", "give the path of a shared object");
  check_writers("the file", path, info, owner);
  // Of a symbolic link both folders count: that of the link and that of the file.
  check_folder(path, owner);
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
  if (resolved != nullptr && resolved.get() != path) check_folder(resolved.get(), owner);
  return {info.st_dev, info.st_ino, info.st_size,
          static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec};
}

}  // namespace rtd::supervisor
