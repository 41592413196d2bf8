#include "daemon/supervisor/crash_store.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "daemon/protocol/text.h"

namespace rtd::supervisor {

std::string save_crash_report(const std::string& folder, const std::string& sandbox, const host_end& end) {
  namespace fs = std::filesystem;
  const fs::path crashes = fs::path(folder) / "crashes";
  fs::create_directories(crashes);
  // Names sort by time; colons would trouble other systems' tools.
  std::string stamp = protocol::rfc3339(end.at);
  std::ranges::replace(stamp, ':', '-');
  const fs::path file = crashes / (stamp + "-" + sandbox + ".json");
  nlohmann::json report = end.to_json();
  report["sandbox"] = sandbox;
  std::ofstream out(file);
  out << report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  out.close();
  if (!out) throw std::runtime_error("cannot write " + file.string());

  std::vector<fs::path> reports;
  for (const auto& entry : fs::directory_iterator(crashes))
    if (entry.path().extension() == ".json") reports.push_back(entry.path());
  std::ranges::sort(reports);
  for (std::size_t i = 0; i + crash_reports_kept < reports.size(); ++i) fs::remove(reports[i]);
  return file.string();
}

}  // namespace rtd::supervisor
