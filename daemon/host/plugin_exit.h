// What happens when a plugin calls exit().
#pragma once

#include "daemon/host/link.h"

namespace rtd::host {

/// From now on a call of exit() by a plugin is reported as a log line over `link`, which must live as long as the
/// process.
void report_exits_to(link_writer& link) noexcept;

}  // namespace rtd::host
