// One check of one target.
#pragma once

#include <rt/time.h>

#include <array>
#include <cstddef>
#include <string>

#include "plugins/prober/expectation.h"
#include "plugins/prober/target.h"

namespace prober {

/// Why a check failed; the label `reason` of probe_failures_total.
enum class failure : unsigned char {
  none,
  lookup,    ///< the host's name has no address, or the name servers did not answer
  connect,   ///< refused, unreachable
  timeout,   ///< not done in time, whatever it was doing
  protocol,  ///< the answer was not HTTP, or broke off
  status,    ///< another status code than expected
  body,      ///< the expected text is not in the body
};
inline constexpr std::array<failure, 6> all_failures = {failure::lookup,   failure::connect, failure::timeout,
                                                        failure::protocol, failure::status,  failure::body};
const char* to_text(failure reason) noexcept;

struct outcome {
  failure reason = failure::none;
  std::string detail;     ///< for the log: "connection refused"; empty when the check succeeded
  int status = 0;         ///< HTTP: the code of the answer, 0 when there was none
  rt::duration length{};  ///< from before the look-up of the name until the last byte that was waited for

  bool up() const noexcept { return reason == failure::none; }
};

/// Bytes of a body that are read at most; expect_text is looked for in these.
inline constexpr std::size_t most_body_bytes = 1024 * 1024;

/// Connects, and asks an HTTP target for its path. Blocks the calling green thread until the answer or `timeout`.
/// Redirects are not followed: they are answers like any other. @throws rt::cancelled
outcome probe(const target& where, const expectation& expected, rt::duration timeout);

}  // namespace prober
