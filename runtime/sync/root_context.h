// The root context of a group, for those who have the group.
#pragma once

#include "rt/context.h"

namespace rt::detail {

struct group;

/// Made when it is first asked for. Any thread. @throws std::bad_alloc
rt::context root_context_of(group& owner);

}  // namespace rt::detail
