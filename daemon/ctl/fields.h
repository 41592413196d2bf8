// Reading the members of an answer. An rtd of another version may leave members out or send others: what is missing or
// has another type reads as empty, so that the rest of the answer can still be shown.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::ctl {

/// The member, or null. The reference lives as long as `object`.
const nlohmann::json& member_of(const nlohmann::json& object, std::string_view key);

/// The member when it is an array, else an empty array.
const nlohmann::json& list_of(const nlohmann::json& object, std::string_view key);

/// A string as it is; numbers and booleans as JSON writes them; anything else is empty.
std::string text_of(const nlohmann::json& object, std::string_view key);

std::optional<double> number_of(const nlohmann::json& object, std::string_view key);

/// A whole number for a table: "17", or `missing` when there is none.
std::string count_of(const nlohmann::json& object, std::string_view key, std::string_view missing = "-");

bool flag_of(const nlohmann::json& object, std::string_view key);

/// Sorts the array member `key` of `object` by the text member `by`, keeping the order of equals.
void sort_list(nlohmann::json& object, std::string_view key, std::string_view by);

}  // namespace rtd::ctl
