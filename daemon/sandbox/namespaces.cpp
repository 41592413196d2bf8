#include "daemon/sandbox/namespaces.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "daemon/sandbox/id_map.h"
#include "daemon/sandbox/policy.h"

namespace rtd::sandbox {
namespace {

class unshare_layer final : public layer {
 public:
  unshare_layer(std::string_view name, int flag) : name_(name), flag_(flag) {}
  std::string_view name() const noexcept override { return name_; }
  int apply() const noexcept override { return ::unshare(flag_) == 0 ? 0 : errno; }

 private:
  std::string_view name_;
  int flag_;
};

class user_namespace_layer final : public layer {
 public:
  user_namespace_layer(std::uint32_t user, std::uint32_t group) : map_(user, group) {}
  std::string_view name() const noexcept override { return "user_namespace"; }
  int apply() const noexcept override {
    if (::unshare(CLONE_NEWUSER) != 0) return errno;
    // From here on the process is nobody until the maps are written.
    const int error = map_.write(proc_descriptor);
    return error == 0 ? 0 : -error;
  }

 private:
  id_map map_;
};

// The new root is made over a folder that every system has; that it is covered meanwhile is nobody else's concern.
constexpr const char* staging = "/usr";
constexpr const char* old_root = "/.old";

class root_layer final : public layer {
 public:
  explicit root_layer(std::vector<root_entry> entries) : entries_(std::move(entries)) {
    for (const root_entry& entry : entries_) {
      prepared one;
      one.entry = &entry;
      one.source = old_root + entry.source;
      one.options = "mode=1777,size=" + std::to_string(entry.size);
      for (std::size_t slash = entry.target.find('/', 1); slash != std::string::npos;
           slash = entry.target.find('/', slash + 1))
        one.parents.push_back(entry.target.substr(0, slash));
      prepared_.push_back(std::move(one));
    }
  }
  std::string_view name() const noexcept override { return "mount_namespace"; }

  int apply() const noexcept override {
    if (::unshare(CLONE_NEWNS) != 0) return errno;
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
    if (::mount("rtd", staging, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0) return errno;
    // From here on a half-made root would be all that is left.
    if (::chdir(staging) != 0 || ::mkdir(old_root + 1, 0700) != 0) return -errno;
    if (::syscall(SYS_pivot_root, ".", old_root + 1) != 0 || ::chdir("/") != 0) return -errno;
    const mode_t mask = ::umask(0);
    for (const prepared& one : prepared_)
      if (const int error = add(one); error != 0) return -error;
    ::umask(mask);
    if (::umount2(old_root, MNT_DETACH) != 0 || ::rmdir(old_root) != 0) return -errno;
    return -set_attributes("/", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0);
  }

 private:
  struct prepared {
    const root_entry* entry = nullptr;
    std::string source;
    std::string options;
    std::vector<std::string> parents;
  };

  static int set_attributes(const char* path, std::uint64_t attributes, unsigned flags) noexcept {
    mount_attr wanted{};
    wanted.attr_set = attributes;
    return ::syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &wanted, sizeof wanted) == 0 ? 0 : errno;
  }

  // Folders that are there already, or lie in something that is bound read-only, are not made; if one is really
  // missing, the mount says so.
  static int add(const prepared& one) noexcept {
    using kind = root_entry::kind;
    const root_entry& entry = *one.entry;
    for (const std::string& parent : one.parents) ::mkdir(parent.c_str(), 0755);
    const char* target = entry.target.c_str();
    switch (entry.what) {
      case kind::symbolic_link:
        return ::symlink(entry.source.c_str(), target) == 0 || errno == EEXIST ? 0 : errno;
      case kind::scratch:
        ::mkdir(target, 0755);
        if (::mount("scratch", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, one.options.c_str()) != 0)
          return errno;
        return 0;
      case kind::folder:
        ::mkdir(target, 0755);
        break;
      case kind::file:
      case kind::device:
        if (const int file = ::open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644); file >= 0) ::close(file);
        break;
    }
    // A copy without what is mounted below would uncover what that hides, so the kernel wants all of it.
    if (::mount(one.source.c_str(), target, nullptr, MS_BIND | MS_REC, nullptr) != 0) {
      if (!entry.optional || errno != ENOENT) return errno;
      // Nothing shall look like an empty one.
      ::unlinkat(AT_FDCWD, target, entry.what == kind::folder ? AT_REMOVEDIR : 0);
      return 0;
    }
    std::uint64_t attributes = MOUNT_ATTR_NOSUID;
    if (!entry.writable && entry.what != kind::device) attributes |= MOUNT_ATTR_RDONLY;
    if (!entry.executable) attributes |= MOUNT_ATTR_NOEXEC;
    if (entry.what != kind::device) attributes |= MOUNT_ATTR_NODEV;
    return set_attributes(target, attributes, AT_RECURSIVE);
  }

  std::vector<root_entry> entries_;
  std::vector<prepared> prepared_;
};

}  // namespace

std::unique_ptr<const layer> make_user_namespace_layer(std::uint32_t user, std::uint32_t group) {
  return std::make_unique<user_namespace_layer>(user, group);
}

std::unique_ptr<const layer> make_root_layer(std::vector<root_entry> entries) {
  return std::make_unique<root_layer>(std::move(entries));
}

std::unique_ptr<const layer> make_pid_namespace_layer() {
  return std::make_unique<unshare_layer>("pid_namespace", CLONE_NEWPID);
}

std::unique_ptr<const layer> make_network_namespace_layer() {
  return std::make_unique<unshare_layer>("network_namespace", CLONE_NEWNET);
}

std::unique_ptr<const layer> make_ipc_namespace_layer() {
  return std::make_unique<unshare_layer>("ipc_namespace", CLONE_NEWIPC);
}

std::unique_ptr<const layer> make_uts_namespace_layer() {
  return std::make_unique<unshare_layer>("uts_namespace", CLONE_NEWUTS);
}

}  // namespace rtd::sandbox
