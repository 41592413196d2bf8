#include "daemon/sandbox/plan.h"

#include <linux/capability.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>

namespace rtd::sandbox {
namespace {

using kind = root_entry::kind;

// Who a host becomes under a supervisor that is root: nobody, on every Linux.
constexpr account nobody{65534, 65534};

// Where shared libraries are. Some of them are symbolic links to others, on some systems.
constexpr const char* library_folders[] = {"/lib",       "/lib32",     "/lib64",      "/libx32",       "/usr/lib",
                                           "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/local/lib"};
// What the C library reads.
constexpr const char* system_files[] = {"/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/services",
                                        "/etc/protocols", "/usr/share/zoneinfo",
                                        // What the runtime asks for: bounds that it may reach.
                                        "/proc/sys/vm/max_map_count", "/proc/sys/net/core/somaxconn"};
// For looking names up and for checking who answers.
constexpr const char* network_files[] = {"/etc/hosts",    "/etc/resolv.conf", "/etc/host.conf",
                                         "/etc/gai.conf", "/etc/ssl/certs",   "/usr/share/ca-certificates"};
constexpr const char* devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

std::string real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? real.get() : "";
}

class planner {
 public:
  explicit planner(const plan_request& request) : request_(request) {
    result_.strict = request.strict;
    result_.policy.strict = request.strict;
    result_.policy.dumpable = request.dumpable;
  }

  confinement make() {
    for (const char* folder : library_folders) add_library_folder(folder);
    for (const char* file : system_files) add(file, file, {.optional = true});
    for (const char* device : devices) add(device, device, {.optional = true, .how = access::device});
    add("host_binary", request_.host_binary, {.executable = true});
    for (const std::string& folder : request_.plugin_folders)
      if (host_may_enter(folder)) add("plugin_dir", folder, {.optional = true, .executable = true});
    for (const std::string& file : request_.plugins) add("plugin", file, {.optional = true, .executable = true});
    const grants& granted = request_.granted;
    if (granted.needs_network())
      for (const char* file : network_files) add(file, file, {.optional = true});
    for (const std::string& path : granted.read) add("grants.read", path, {});
    for (const std::string& path : granted.write) add("grants.write", path, {.how = access::write});
    if (granted.scratch > 0) add_scratch(granted.scratch);
    add_network();
    add_namespaces();
    return std::move(result_);
  }

 private:
  struct traits {
    bool optional = false;
    access how = access::read;
    bool executable = false;
  };

  // A folder comes before what lies in it, so parents are made in the right places and are covered by nothing.
  void add_namespaces() {
    std::stable_sort(entries_.begin(), entries_.end(), [](const root_entry& a, const root_entry& b) {
      return std::count(a.target.begin(), a.target.end(), '/') < std::count(b.target.begin(), b.target.end(), '/');
    });
    result_.privileged = is_privileged();
    result_.user = ::geteuid();
    result_.group = ::getegid();
    if (result_.privileged) result_.policy.become = nobody;
    result_.root = std::move(entries_);
  }

  void add_network() {
    const grants& granted = request_.granted;
    result_.own_network = !granted.needs_network();
    result_.policy.datagrams = result_.own_network || granted.datagrams;
    if (result_.own_network) return;  // nobody is there to be reached
    result_.policy.listen_ports = granted.listen;
    result_.policy.connect_ports = granted.connect;
  }

  void add_library_folder(const char* folder) {
    std::error_code error;
    if (std::filesystem::is_symlink(folder, error)) {
      const std::string text = std::filesystem::read_symlink(folder, error).string();
      if (!error) entries_.push_back({kind::symbolic_link, text, folder});
    } else {
      add(folder, folder, {.optional = true, .executable = true});
    }
  }

  void add(const std::string& why, const std::string& path, traits how) {
    const std::string source = real_path(path);
    struct stat status {};
    if (source.empty() || ::stat(source.c_str(), &status) != 0) {
      if (how.optional) return;
      throw launch_error(why + " " + path + ": " + std::strerror(errno));
    }
    const bool is_device = S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode);
    if (is_device != (how.how == access::device)) {
      if (how.optional) return;
      throw launch_error(why + " " + path + ": devices cannot be granted");
    }
    result_.policy.paths.push_back({path, how.how, how.optional});
    root_entry entry;
    entry.what = is_device ? kind::device : S_ISDIR(status.st_mode) ? kind::folder : kind::file;
    entry.source = source;
    entry.target = path;
    entry.writable = how.how == access::write;
    entry.executable = how.executable;
    entry.optional = how.optional;
    // What lies in a folder that is there already with the same rights is there with it.
    for (const root_entry& other : entries_)
      if (other.what == kind::folder && other.source == other.target && entry.source == entry.target &&
          entry.source.starts_with(other.source + "/") && other.writable == entry.writable &&
          other.executable == entry.executable)
        return;
    std::erase_if(entries_, [&](const root_entry& other) { return other.target == entry.target; });
    entries_.push_back(std::move(entry));
  }

  void add_scratch(std::uint64_t size) {
    root_entry entry;
    entry.what = kind::scratch;
    entry.target = "/tmp";
    entry.size = size;
    entries_.push_back(std::move(entry));
    result_.policy.paths.push_back({"/tmp", access::write, false, true});
  }

  const plan_request& request_;
  confinement result_;
  std::vector<root_entry> entries_;
};

}  // namespace

bool grants::needs_network() const noexcept {
  return datagrams || !listen || !connect || !listen->empty() || !connect->empty();
}

bool is_privileged() noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, sets) != 0) return false;
  const auto has = [&](unsigned capability) {
    return (sets[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability)) != 0;
  };
  return has(CAP_SYS_ADMIN) && has(CAP_SETUID) && has(CAP_SETGID) && has(CAP_DAC_READ_SEARCH);
}

bool host_may_enter(const std::string& folder) noexcept {
  struct stat status {};
  return !is_privileged() || (::stat(folder.c_str(), &status) == 0 && (status.st_mode & S_IXOTH) != 0);
}

confinement plan_learning() {
  confinement result;
  result.strict = false;
  result.learning = true;
  result.policy.strict = false;
  if (is_privileged()) result.policy.become = nobody;
  std::uint64_t key = 0;
  // A plugin that guessed it would only hide what it uses from whoever wants to grant it.
  if (::getrandom(&key, sizeof key, 0) != sizeof key) key = 0x6c6561726e696e67;
  result.policy.learn_key = key;
  return result;
}

bool is_seen_by_all(const std::string& path, bool network) {
  const auto covers = [&](const std::string& place) { return path == place || path.starts_with(place + "/"); };
  return std::any_of(std::begin(library_folders), std::end(library_folders), covers) ||
         std::any_of(std::begin(system_files), std::end(system_files), covers) ||
         std::any_of(std::begin(devices), std::end(devices), covers) ||
         (network && std::any_of(std::begin(network_files), std::end(network_files), covers));
}

confinement plan_confinement(const plan_request& request) { return planner(request).make(); }

}  // namespace rtd::sandbox
