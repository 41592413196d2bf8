// Requests and responses of the HTTP server, as its handlers see them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rtd::http {

/// Names and values in the order in which they came.
using field_list = std::vector<std::pair<std::string, std::string>>;

/// One request, complete and checked: the path is decoded and free of NUL bytes, sizes are within the server's limits.
struct request {
  std::string method;  ///< "GET"; a HEAD request reaches a GET handler as "HEAD"
  std::string target;  ///< as it came: "/readyz?verbose"
  std::string path;    ///< decoded, without the query: "/readyz"
  field_list query;    ///< decoded; "?verbose" has an empty value
  field_list headers;  ///< names in lower case
  std::string body;
  std::string peer;  ///< "127.0.0.1:40312" or "[::1]:40312"

  /// The first value of a query parameter or nullopt when it is not there.
  std::optional<std::string_view> query_value(std::string_view name) const;
  /// The first value of a header (name in lower case) or nullopt.
  std::optional<std::string_view> header(std::string_view name) const;
};

/// What a handler answers. The server adds Date, Content-Length, Connection, X-Content-Type-Options and, where the
/// client asks for it and the body is worth it, Content-Encoding: gzip.
struct response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  field_list headers;  ///< further ones, e.g. {"Retry-After", "1"}
};

/// A response of one line of text; a newline is added.
response text_response(int status, std::string_view line);

/// Splits and decodes what follows the '?' of a target ("a=1&verbose"). '+' means a space. A wrong escape stays as it
/// is.
field_list parse_query(std::string_view text);

/// Decodes %XX. nullopt for an escape that is none and for %00. `plus_is_space` is for query strings.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

}  // namespace rtd::http
