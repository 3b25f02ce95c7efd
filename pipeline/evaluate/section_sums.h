#pragma once

#include <algorithm>
#include <span>
#include <type_traits>
#include <vector>

#include "workers/mpi/communicator.h"

namespace tessera {

/// Collective. Adds up the sums of all ranks, which consist of doubles. Exact where each section is 0 on all
/// ranks but one.
template <class Sums>
void add_up(const Communicator& world, std::vector<Sums>& sections) {
  if (sections.empty()) return;  // on every rank
  std::vector<double> values(sections.size() * (sizeof(Sums) / sizeof(double)));
  static_assert(std::is_trivially_copyable_v<Sums> && sizeof(Sums) % sizeof(double) == 0);
  std::ranges::copy(std::as_bytes(std::span(sections)), std::as_writable_bytes(std::span(values)).begin());
  world.sum(std::span(values));
  std::ranges::copy(std::as_bytes(std::span(values)), std::as_writable_bytes(std::span(sections)).begin());
}

}  // namespace tessera
