# The sources of the network floor, relative to runtime/.
set(RT_NET_SOURCES
    net/conn.cpp
    net/descriptor_table.cpp
    net/dial.cpp
    net/endpoint.cpp
    net/epoll_poller.cpp
    net/error.cpp
    net/listen.cpp
    net/lookup_pool.cpp
    net/operation_gate.cpp
    net/poll_descriptor.cpp
    net/socket_address.cpp
    net/socket_state.cpp
    net/stats.cpp
    net/system_calls.cpp)
