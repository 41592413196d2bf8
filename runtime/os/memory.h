// Pages from the system: reservations, guards, giving back.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rt::os {

/// The kernel's page size in bytes.
std::size_t page_size() noexcept;

/// Reserves `size` bytes of readable, writable, not yet committed address space (MAP_NORESERVE), aligned to `alignment`
/// (a power of two), named `name` in /proc/self/maps where the kernel can. Null when the system refuses.
void* reserve(std::size_t size, std::size_t alignment, const char* name) noexcept;
/// What a reservation may be used for until permit_writing. Only what may be written counts against the system's limit
/// of committed memory (vm.overcommit_memory).
enum class access : std::uint8_t { none, read };
/// Reserves address space as reserve() does, at `wanted` (0: anywhere) if that is free, else somewhere else.
void* reserve_address_space(std::uintptr_t wanted, std::size_t size, std::size_t alignment, access may,
                            const char* name) noexcept;
/// Makes pages of such a reservation readable and writable; they read as zero. False when the system refuses.
bool permit_writing(void* address, std::size_t size) noexcept;
/// Any touch of the pages faults from now on, until permit_writing. False when refused.
bool forbid_access(void* address, std::size_t size) noexcept;
/// Fills `size` bytes (256 at most) with random bits; with the clock's where the system has none.
void random_bytes(void* to, std::size_t size) noexcept;
/// Gives a reservation back.
void release(void* address, std::size_t size) noexcept;

/// Whether the kernel knows MADV_GUARD_INSTALL (Linux 6.13). Tried on a page of its own at the first call.
/// The environment variable RT_STACK_GUARD=mprotect answers no, for tests and comparisons.
bool can_install_guards() noexcept;
/// Makes any touch of [address, address + size) fault. By guard markers, or by PROT_NONE. False when refused.
bool install_guard(void* address, std::size_t size, bool by_marker) noexcept;
/// Gives the pages back to the system; they read as zero afterwards. Guard markers stay.
void discard_pages(void* address, std::size_t size) noexcept;
/// Keeps transparent huge pages away, which would commit 2 MiB for one touched page.
void forbid_huge_pages(void* address, std::size_t size) noexcept;
/// vm.max_map_count, 65530 where it cannot be read.
std::size_t max_map_count() noexcept;

}  // namespace rt::os
