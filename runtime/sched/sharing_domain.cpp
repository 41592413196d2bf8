#include "runtime/sched/sharing_domain.h"

#include <memory>
#include <vector>

#include "runtime/os/spin_lock.h"

namespace rt::detail {

bool sharing_domain::shares_with(const sharing_domain& other) const noexcept {
  return this == &other || name.empty() || other.name.empty();
}

sharing_domain& shared_by_all() noexcept {
  static auto* const all = new sharing_domain("");
  return *all;
}

namespace {

os::spin_lock known_lock{os::lock_rank::none};

std::vector<std::unique_ptr<sharing_domain>>& known() RT_REQUIRES(known_lock) {
  static auto* const all = new std::vector<std::unique_ptr<sharing_domain>>;
  return *all;
}

}  // namespace

sharing_domain& domain_named(std::string_view name) {
  if (name.empty()) return shared_by_all();
  auto fresh = std::make_unique<sharing_domain>(std::string(name));
  os::spin_guard guard(known_lock);
  for (const auto& one : known()) {
    if (one->name == name) return *one;
  }
  known().push_back(std::move(fresh));
  return *known().back();
}

void for_each_domain(const std::function<void(const sharing_domain&)>& visit) {
  visit(shared_by_all());
  os::spin_guard guard(known_lock);
  for (const auto& one : known()) visit(*one);
}

}  // namespace rt::detail
