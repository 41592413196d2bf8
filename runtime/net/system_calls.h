// The system calls on sockets, with errno folded into the result: the value, or the negated error number.
//
// They are functions of their own, never inlined, for a reason: the C library declares the address of errno to be
// constant in a function, so a compiler may compute it once. A function that parks between two calls would then read
// the errno of the kernel thread that it ran on before. Here the address cannot outlive one call.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>

namespace rt::net::detail::system_call {

#define RT_NET_SYSTEM_CALL __attribute__((noinline))

RT_NET_SYSTEM_CALL ssize_t receive(int fd, void* buffer, std::size_t size) noexcept;
RT_NET_SYSTEM_CALL ssize_t receive_vector(int fd, const iovec* buffers, std::size_t count) noexcept;
/// Without SIGPIPE.
RT_NET_SYSTEM_CALL ssize_t send(int fd, const void* data, std::size_t size) noexcept;
RT_NET_SYSTEM_CALL ssize_t send_vector(int fd, const iovec* buffers, std::size_t count) noexcept;
/// Non-blocking and close-on-exec from the first moment.
RT_NET_SYSTEM_CALL int accept(int fd, sockaddr* from, socklen_t* length) noexcept;
RT_NET_SYSTEM_CALL int make_stream_socket(int family) noexcept;
RT_NET_SYSTEM_CALL int connect(int fd, const sockaddr* to, socklen_t length) noexcept;
RT_NET_SYSTEM_CALL int bind(int fd, const sockaddr* to, socklen_t length) noexcept;
RT_NET_SYSTEM_CALL int listen(int fd, int backlog) noexcept;
RT_NET_SYSTEM_CALL int shutdown(int fd, int how) noexcept;
RT_NET_SYSTEM_CALL int set_option(int fd, int level, int name, int value) noexcept;
/// What SO_ERROR holds (and forgets by this): 0 or the negated error number.
RT_NET_SYSTEM_CALL int pending_error(int fd) noexcept;
RT_NET_SYSTEM_CALL int local_address(int fd, sockaddr* address, socklen_t* length) noexcept;
RT_NET_SYSTEM_CALL int peer_address(int fd, sockaddr* address, socklen_t* length) noexcept;
RT_NET_SYSTEM_CALL void close(int fd) noexcept;

#undef RT_NET_SYSTEM_CALL

}  // namespace rt::net::detail::system_call
