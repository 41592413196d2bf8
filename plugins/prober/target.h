// What is probed: "tcp://host:port" or "http://host[:port][/path][?query]".
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace prober {

enum class scheme { tcp, http };

struct target {
  std::string text;  ///< as the operator wrote it; the label of its metrics
  scheme kind = scheme::tcp;
  std::string address;      ///< for rt::net::dial: "host:port", "[IPv6 address]:port"
  std::string host_header;  ///< HTTP: the Host of the request, without the port when it is 80
  std::string path;         ///< HTTP: what is asked for, with the query; "/" when none was written
};

/// The length that a target's text may have: that of a metric's label.
inline constexpr std::size_t longest_target = 256;

/// Reads one target. Any thread; does not look names up.
/// @throws rt::bad_parameter naming the parameter "targets", the text, what is wrong with it and what to write.
target parse_target(std::string_view text);

/// Reads a list of targets. @throws rt::bad_parameter as parse_target, and when two of them are the same endpoint.
std::vector<target> parse_targets(const std::vector<std::string>& texts);

}  // namespace prober
