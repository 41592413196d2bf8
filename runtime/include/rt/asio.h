// For programs that use Boost.Beast or Boost.Asio's stream algorithms on rt::net::conn: include this instead of
// "rt/net.h". The library itself does not need Boost, and this header is empty where Boost.Asio is not installed.
//
// Those algorithms compare errors with Asio's own: Beast ends a message at boost::asio::error::eof, and asio::ssl looks
// for it to tell a truncated stream from a finished one. Here the errors of a connection become the ones they know.
#pragma once

#include "rt/net.h"

#if __has_include(<boost/asio/error.hpp>)
#include <boost/asio/error.hpp>

template <>
struct rt::net::stream_error<boost::system::error_code> {
  static boost::system::error_code from(const std::error_code& error) {
    if (error == errc::eof) return boost::asio::error::eof;
    if (error == errc::closed) return boost::asio::error::operation_aborted;
    if (error == errc::timed_out) return boost::asio::error::timed_out;
    if (error.category() == std::system_category()) return {error.value(), boost::system::system_category()};
    return boost::system::error_code(error);
  }
};
#endif
