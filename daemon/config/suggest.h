// "Did you mean": the known word that a misspelt one most likely stands for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rtd::config {

/// The candidate nearest to `word`, empty when none is near enough to be a likely slip. Case, '-' and '_' count as
/// alike, and a word that another one starts with is near to it. Looks at the first 200 candidates only.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

/// `did you mean "WORD"?`, or else `otherwise`.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates,
                         std::string otherwise = {});

/// `"a", "b" or "c"` with the given last word between them; after 24 of them "…".
std::string list_of(const std::vector<std::string_view>& words, std::string_view last_word);

}  // namespace rtd::config
