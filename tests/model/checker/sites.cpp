#include "tests/model/checker/sites.h"

#include <link.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

namespace rt_model {

namespace {

std::uintptr_t load_address() {
  std::uintptr_t base = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        *static_cast<std::uintptr_t*>(result) = info->dlpi_addr;
        return 1;  // the first one is the program
      },
      &base);
  return base;
}

std::string own_path() {
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  return length < 0 ? "" : std::string(path, static_cast<std::size_t>(length));
}

bool of_the_library(const std::string& file) {
  return file.empty() || file[0] == '?' || file.find("/include/c++/") != std::string::npos;
}

}  // namespace

std::vector<source_site> find_sites(const std::vector<std::uintptr_t>& addresses) {
  std::vector<source_site> found(addresses.size());
  if (addresses.empty()) return found;
  std::ostringstream command;
  // A return address is behind the call: the byte before it belongs to the right line.
  command << "addr2line -a -C -f -i -e '" << own_path() << "'" << std::hex;
  for (std::uintptr_t one : addresses) command << " 0x" << one - load_address() - 1;
  command << " 2>/dev/null";
  FILE* pipe = popen(command.str().c_str(), "r");
  if (pipe == nullptr) return found;
  char text[4096];
  std::size_t index = static_cast<std::size_t>(-1);
  bool settled = false;
  while (fgets(text, sizeof text, pipe) != nullptr) {
    std::string line(text);
    while (!line.empty() && line.back() == '\n') line.pop_back();
    if (line.rfind("0x", 0) == 0) {
      ++index;
      settled = false;
      continue;
    }
    if (fgets(text, sizeof text, pipe) == nullptr || index >= found.size()) break;
    if (settled) continue;
    std::string place(text);
    std::size_t colon = place.rfind(':');
    if (colon == std::string::npos) continue;
    source_site site{place.substr(0, colon), std::atoi(place.c_str() + colon + 1), line};
    bool library = of_the_library(site.file);
    if (found[index].file.empty() || !library) found[index] = site;
    settled = !library;
  }
  pclose(pipe);
  return found;
}

std::string describe(const source_site& site) {
  if (site.file.empty()) return "?";
  std::size_t cut = site.file.rfind('/');
  if (cut != std::string::npos && cut > 0) cut = site.file.rfind('/', cut - 1);
  std::string function = site.function.substr(0, site.function.find('('));
  return (cut == std::string::npos ? site.file : site.file.substr(cut + 1)) + ":" + std::to_string(site.line) + " " +
         function;
}

std::string describe_site(std::uintptr_t address) {
  static std::map<std::uintptr_t, std::string> known;
  std::string& text = known[address];
  if (text.empty()) text = describe(find_sites({address})[0]);
  return text;
}

std::string source_line(const source_site& site) {
  std::ifstream file(site.file);
  std::string line;
  for (int i = 0; i < site.line && std::getline(file, line); ++i) {
  }
  std::size_t first = line.find_first_not_of(" \t");
  return first == std::string::npos ? "" : line.substr(first);
}

}  // namespace rt_model
