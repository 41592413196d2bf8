#include "daemon/supervisor/grant_proposal.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <vector>

#include "daemon/protocol/fields.h"
#include "daemon/protocol/text.h"
#include "daemon/sandbox/plan.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t most_texts = 2048;
constexpr std::size_t most_bytes = 4096;
constexpr std::size_t files_that_are_a_folder = 4;

std::set<std::string> texts_of(const json& learned, const char* key) {
  std::set<std::string> result;
  const auto& list = protocol::member(learned, key);
  if (!list.is_array()) return result;
  for (const auto& text : list) {
    if (result.size() == most_texts) break;
    if (text.is_string()) result.insert(protocol::clean_text(text.get_ref<const std::string&>(), most_bytes));
  }
  return result;
}

bool lies_in(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder + "/");
}

bool lies_in_any(const std::string& path, const std::set<std::string>& folders) {
  return std::any_of(folders.begin(), folders.end(), [&](const auto& folder) { return lies_in(path, folder); });
}

// Without what lies in another one of them, and with folders in place of many files.
std::set<std::string> gathered(const std::set<std::string>& paths) {
  std::map<std::string, std::size_t> in_folder;
  for (const auto& path : paths) ++in_folder[fs::path(path).parent_path().string()];
  std::set<std::string> result;
  for (const auto& path : paths) {
    const std::string folder = fs::path(path).parent_path().string();
    result.insert(in_folder[folder] >= files_that_are_a_folder && folder != "/" ? folder : path);
  }
  std::set<std::string> least;
  for (const auto& path : result) {
    std::set<std::string> others = result;
    others.erase(path);
    if (!lies_in_any(path, others)) least.insert(path);
  }
  return least;
}

// The paths of a kind that need a grant.
std::set<std::string> wanted(const json& learned, const char* key, const std::set<std::string>& own, bool network) {
  std::set<std::string> result;
  for (const auto& text : texts_of(learned, key)) {
    const std::string path = fs::path(text).lexically_normal().string();
    // Every sandbox has a /tmp; what lies deeper in the machine's may be more than scratch.
    const bool scratch = path == "/tmp" || fs::path(path).parent_path() == "/tmp";
    const bool hidden = lies_in(path, "/proc") || lies_in(path, "/sys") || lies_in(path, "/dev");
    if (path.size() < 2 || path[0] != '/' || own.contains(path) || scratch || hidden) continue;
    if (!sandbox::is_seen_by_all(path, network)) result.insert(path);
  }
  return result;
}

}  // namespace

json propose_grants(const json& learned, const std::map<std::string, std::string>& plugins,
                    const std::string& host_binary, bool ports_apart) {
  std::set<std::string> own{host_binary};
  for (const auto& [name, path] : plugins) own.insert(path);
  const std::set<std::string> listen = texts_of(learned, "listen");
  const std::set<std::string> connect = texts_of(learned, "connect");
  const bool udp = protocol::boolean_field(learned, "udp", false);
  const bool network = udp || !listen.empty() || !connect.empty();
  const std::set<std::string> write = gathered(wanted(learned, "write", own, network));
  std::set<std::string> read;
  for (const auto& path : gathered(wanted(learned, "read", own, network)))
    if (!lies_in_any(path, write)) read.insert(path);
  json grants = json::object();
  if (!read.empty()) grants["read"] = read;
  if (!write.empty()) grants["write"] = write;
  if (network && !ports_apart) {
    // One list alone restricts the other one to no port.
    grants["listen"] = grants["connect"] = {"*"};
  } else {
    if (!listen.empty()) grants["listen"] = listen;
    if (!connect.empty()) grants["connect"] = connect;
  }
  if (udp) grants["udp"] = true;
  return grants;
}

}  // namespace rtd::supervisor
