// rt::task, the public face of a task.
#include "rt/task.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/heap/heap_owner.h"
#include "runtime/sched/group.h"
#include "runtime/task/duration_text.h"
#include "runtime/task/printable_text.h"
#include "runtime/task/task_state.h"

namespace rt {

namespace {

constexpr std::size_t most_quoted_bytes = 200;

[[noreturn]] void refuse(std::string_view key, std::string_view value, const std::string& wanted) {
  throw bad_parameter("parameter \"" + std::string(key) + "\" is \"" +
                      detail::printable_text(value, most_quoted_bytes) + "\", but must be " + wanted);
}

const std::vector<std::string>* find(const detail::task_state& state, std::string_view key) {
  auto found = state.parameters().find(key);
  return found == state.parameters().end() ? nullptr : &found->second;
}

// The one value of a parameter, or null when it is not given. A list is refused: taking its first value would hide the
// others from whoever wrote them.
const std::string* find_one(const detail::task_state& state, std::string_view key) {
  const std::vector<std::string>* values = find(state, key);
  if (values == nullptr) return nullptr;
  if (values->size() != 1) {
    throw bad_parameter("parameter \"" + std::string(key) + "\" is a list of " + std::to_string(values->size()) +
                        " values, but must be one value");
  }
  return &values->front();
}

}  // namespace

std::string_view task::name() const noexcept { return state_->identity().id; }
std::string_view task::plugin() const noexcept { return state_->identity().plugin; }
std::string_view task::entry() const noexcept { return state_->identity().entry; }

std::string task::param(std::string_view key, std::string_view fallback) const {
  const std::string* value = find_one(*state_, key);
  return value == nullptr ? std::string(fallback) : *value;
}

std::string task::required_param(std::string_view key) const {
  const std::string* value = find_one(*state_, key);
  if (value == nullptr) {
    throw bad_parameter("parameter \"" + std::string(key) + "\" is missing; the entry \"" + std::string(entry()) +
                        "\" of plugin \"" + std::string(plugin()) + "\" needs it");
  }
  return *value;
}

std::vector<std::string> task::param_list(std::string_view key) const {
  const std::vector<std::string>* values = find(*state_, key);
  return values == nullptr ? std::vector<std::string>() : *values;
}

std::int64_t task::param_int(std::string_view key, std::int64_t fallback, std::int64_t least, std::int64_t most) const {
  const std::string* value = find_one(*state_, key);
  if (value == nullptr) return fallback;
  auto wanted = [&] {
    std::string text = "a whole number";
    bool has_least = least != INT64_MIN;
    bool has_most = most != INT64_MAX;
    if (has_least && has_most) return text + " from " + std::to_string(least) + " to " + std::to_string(most);
    if (has_least) return text + " of at least " + std::to_string(least);
    if (has_most) return text + " of at most " + std::to_string(most);
    return text;
  };
  std::int64_t number = 0;
  auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size() || number < least || number > most) {
    refuse(key, *value, wanted());
  }
  return number;
}

double task::param_double(std::string_view key, double fallback) const {
  const std::string* value = find_one(*state_, key);
  if (value == nullptr) return fallback;
  double number = 0;
  auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size() || !std::isfinite(number)) {
    refuse(key, *value, "a number");
  }
  return number;
}

bool task::param_bool(std::string_view key, bool fallback) const {
  const std::string* value = find_one(*state_, key);
  if (value == nullptr) return fallback;
  if (*value == "true") return true;
  if (*value == "false") return false;
  refuse(key, *value, "true or false");
}

duration task::param_duration(std::string_view key, duration fallback) const {
  const std::string* value = find_one(*state_, key);
  if (value == nullptr) return fallback;
  std::optional<duration> length = detail::parse_duration(*value);
  if (!length) refuse(key, *value, "a length of time such as \"250ms\", \"5s\" or \"1m30s\"");
  return *length;
}

bool task::draining() const noexcept { return state_->draining(); }

context task::drain_context() const { return state_->drain_context(); }

context task::context() const { return state_->context(); }

std::uint64_t task::heap_limit() const noexcept {
  const detail::group* mine = detail::current_group();
  const detail::heap_owner* owner = mine == nullptr ? nullptr : mine->heap.get();
  std::size_t limit = owner == nullptr ? SIZE_MAX : std::min(owner->soft_limit(), owner->hard_limit());
  return limit == SIZE_MAX ? no_memory_limit : limit;
}

bool task::stopping() const noexcept { return state_->stopping(); }

void task::log(log_level level, std::string_view message) const { state_->log(level, message); }

void task::set_status(std::string_view text) const { state_->set_status(text); }

rt::counter task::counter(std::string_view name, std::string_view help, metric_labels labels) const {
  return rt::counter(state_->metrics().cell(detail::metric_type::counter, name, help, {}, std::move(labels)));
}

rt::gauge task::gauge(std::string_view name, std::string_view help, metric_labels labels) const {
  return rt::gauge(state_->metrics().cell(detail::metric_type::gauge, name, help, {}, std::move(labels)));
}

rt::histogram task::histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                              metric_labels labels) const {
  return rt::histogram(
      state_->metrics().cell(detail::metric_type::histogram, name, help, std::move(bounds), std::move(labels)));
}

task* this_task() noexcept {
  detail::group* mine = detail::current_group();
  return mine == nullptr || mine->owner == nullptr ? nullptr : &static_cast<detail::task_state*>(mine->owner)->face();
}

}  // namespace rt
