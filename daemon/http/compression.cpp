#include "daemon/http/compression.h"

#include <algorithm>
#include <cctype>

namespace rtd::http {

namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

// A weight "0", "0.5", "1.000" in thousandths; anything else counts as 0, so that a garbled header means plain text.
int weight_in_thousandths(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  int weight = (text[0] - '0') * 1000;
  if (text.size() == 1) return weight;
  if (text[1] != '.') return 0;
  int place = 100;
  for (const char digit : text.substr(2)) {
    if (digit < '0' || digit > '9') return 0;
    weight += (digit - '0') * place;
    place /= 10;
  }
  return std::min(weight, 1000);
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  int gzip_weight = -1;
  int any_weight = -1;
  int identity_weight = -1;
  while (!accept_encoding.empty()) {
    const std::string_view item = accept_encoding.substr(0, accept_encoding.find(','));
    accept_encoding.remove_prefix(std::min(accept_encoding.size(), item.size() + 1));
    const std::size_t semicolon = item.find(';');
    const std::string_view coding = trim(item.substr(0, semicolon));
    int weight = 1000;
    if (semicolon != std::string_view::npos) {
      const std::string_view parameter = trim(item.substr(semicolon + 1));
      const bool is_weight =
          parameter.size() >= 2 && (parameter[0] == 'q' || parameter[0] == 'Q') && parameter[1] == '=';
      weight = is_weight ? weight_in_thousandths(parameter.substr(2)) : 0;
    }
    if (equal_ignoring_case(coding, "gzip") || equal_ignoring_case(coding, "x-gzip")) gzip_weight = weight;
    if (equal_ignoring_case(coding, "identity")) identity_weight = weight;
    if (coding == "*") any_weight = weight;
  }
  if (gzip_weight < 0) gzip_weight = any_weight;
  return gzip_weight > 0 && gzip_weight >= identity_weight;
}

}  // namespace rtd::http
