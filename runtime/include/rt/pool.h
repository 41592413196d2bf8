// Objects that are used again instead of made again.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace rt {

namespace detail {

class pool_core;
pool_core* pool_make(void (*destroy)(void*) noexcept);
void pool_end(pool_core* core) noexcept;
void pool_put(pool_core& core, void* object);
void* pool_take(pool_core& core) noexcept;

}  // namespace detail

/// A cache of objects of T that are made at some cost and used for a short time: buffers, encoders, connections' state.
///
/// get() prefers what was put last on the same processor (P), then what others have put. What nobody has used for two
/// collections (a cycle of the collector, or rt::release_memory) is destroyed, so a pool shrinks when its use does.
/// Nothing may depend on an object's staying in the pool.
///
/// All members may be called from any thread. The destructor of T must not block and must not use this pool: what is
/// dropped is destroyed by whatever thread collects.
template <class T>
class pool {
  static_assert(std::is_nothrow_destructible_v<T>);

 public:
  /// A pool that makes objects by `make` when it has none.
  explicit pool(std::function<std::unique_ptr<T>()> make = [] { return std::make_unique<T>(); })
      : make_(std::move(make)),
        core_(detail::pool_make([](void* object) noexcept { delete static_cast<T*>(object); })) {}
  /// Destroys what it holds. No other member may run.
  ~pool() { detail::pool_end(core_); }
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  /// An object from the pool, as it was when it was put, or a new one. Never null, unless `make` returns null. Throws
  /// what `make` throws; blocks only if `make` does.
  std::unique_ptr<T> get() {
    if (void* object = detail::pool_take(*core_); object != nullptr) {
      return std::unique_ptr<T>(static_cast<T*>(object));
    }
    return make_();
  }
  /// Gives an object to the pool, from get() or not. Null is ignored. Never blocks. When there is no memory to keep it,
  /// it is destroyed.
  void put(std::unique_ptr<T> object) {
    if (object != nullptr) detail::pool_put(*core_, object.release());
  }

 private:
  std::function<std::unique_ptr<T>()> make_;
  detail::pool_core* core_;
};

}  // namespace rt
