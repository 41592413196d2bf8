#include "tests/model/checker/mutation.h"

namespace rt_model {

const char* order_name(int order) noexcept {
  switch (order) {
    case __ATOMIC_RELAXED:
      return "relaxed";
    case __ATOMIC_CONSUME:
      return "consume";
    case __ATOMIC_ACQUIRE:
      return "acquire";
    case __ATOMIC_RELEASE:
      return "release";
    case __ATOMIC_ACQ_REL:
      return "acq_rel";
    default:
      return "seq_cst";
  }
}

std::vector<mutation> mutations_of(const operation& one) {
  std::vector<mutation> all;
  auto weaker = [&](int order) {
    mutation fresh;
    fresh.what = change::weaker_order;
    fresh.order = order;
    all.push_back(fresh);
  };
  bool reads = one.what != step::store;
  bool writes = one.what != step::load;
  switch (one.order) {
    case __ATOMIC_SEQ_CST:
      weaker(reads && writes ? __ATOMIC_ACQ_REL : reads ? __ATOMIC_ACQUIRE : __ATOMIC_RELEASE);
      break;
    case __ATOMIC_ACQ_REL:
      weaker(__ATOMIC_ACQUIRE);
      weaker(__ATOMIC_RELEASE);
      break;
    case __ATOMIC_ACQUIRE:
    case __ATOMIC_RELEASE:
      weaker(__ATOMIC_RELAXED);
      break;
    default:
      break;
  }
  if (one.what == step::compare_exchange && one.failure_order != __ATOMIC_RELAXED) {
    mutation fresh;
    fresh.what = change::weaker_failure;
    all.push_back(fresh);
  }
  if (one.what == step::exchange || one.what == step::compare_exchange) {
    mutation fresh;
    fresh.what = change::split;
    all.push_back(fresh);
  }
  if (one.what == step::fence) {
    all.clear();
    mutation fresh;
    fresh.what = change::no_fence;
    all.push_back(fresh);
    if (one.order == __ATOMIC_SEQ_CST) weaker(__ATOMIC_ACQ_REL);
  }
  return all;
}

std::string describe(const mutation& one, const operation& of) {
  switch (one.what) {
    case change::weaker_order:
      return std::string(order_name(of.order)) + " -> " + order_name(one.order);
    case change::weaker_failure:
      return std::string("failure ") + order_name(of.failure_order) + " -> relaxed";
    case change::no_fence:
      return std::string("fence ") + order_name(of.order) + " -> none";
    case change::split:
      return "read-modify-write -> load, store";
    case change::none:
      break;
  }
  return "nothing";
}

}  // namespace rt_model
