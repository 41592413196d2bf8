#include "daemon/config/suggest.h"

#include <algorithm>

#include "daemon/config/text.h"
#include "daemon/protocol/text.h"

namespace rtd::config {
namespace {

// Both bound the time that a hostile text can make the search take.
constexpr std::size_t most_candidates = 200;
constexpr std::size_t longest_word = 64;
constexpr std::size_t most_listed = 24;

std::string folded(std::string_view word) {
  std::string result(word);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-' || c == ' ') c = '_';
  }
  return result;
}

std::size_t allowed_edits(std::size_t length) noexcept { return std::clamp<std::size_t>(length / 3, 1, 3); }

}  // namespace

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  if (word.empty() || word.size() > longest_word) return {};
  const std::string wanted = folded(word);
  const std::size_t limit = allowed_edits(wanted.size());
  std::string_view best;
  std::size_t best_distance = limit + 1;
  for (std::size_t i = 0; i < std::min(candidates.size(), most_candidates); ++i) {
    const std::string candidate = folded(candidates[i]);
    const std::size_t shorter = std::min(wanted.size(), candidate.size());
    const std::size_t longer = std::max(wanted.size(), candidate.size());
    std::size_t distance = longer - shorter;  // at least
    if (distance <= limit) distance = protocol::edit_distance(wanted, candidate);
    if (distance > limit && shorter >= 4 && wanted.compare(0, shorter, candidate, 0, shorter) == 0) distance = limit;
    if (distance < best_distance) {
      best_distance = distance;
      best = candidates[i];
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates,
                         std::string otherwise) {
  const std::string_view best = nearest(word, candidates);
  if (best.empty()) return otherwise;
  return "did you mean " + in_quotes(best) + '?';
}

std::string list_of(const std::vector<std::string_view>& words, std::string_view last_word) {
  std::string result;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool last = i + 1 == words.size();
    if (i > 0) result += last ? ' ' + std::string(last_word) + ' ' : ", ";
    if (i == most_listed && !last) return result + "…";
    result += in_quotes(words[i]);
  }
  return result;
}

}  // namespace rtd::config
