// Changes of the code under test that the checker is to find: an order that is weaker, a read-modify-write that is
// none.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "tests/model/checker/operation.h"

namespace rt_model {

enum class change : std::uint8_t {
  none,
  weaker_order,    // the order, or the success order of a compare-exchange, becomes `order`
  weaker_failure,  // the failure order of a compare-exchange becomes relaxed
  no_fence,
  split,  // a read-modify-write becomes a load and a store
};

struct mutation {
  change what = change::none;
  int order = __ATOMIC_RELAXED;
  std::set<std::uintptr_t> sites;

  bool applies(const operation& one) const noexcept { return what != change::none && sites.count(one.site) != 0; }
};

/// All changes that make sense for an operation, without sites.
std::vector<mutation> mutations_of(const operation& one);
/// "acq_rel -> acquire", for tables.
std::string describe(const mutation& one, const operation& of);
const char* order_name(int order) noexcept;

}  // namespace rt_model
