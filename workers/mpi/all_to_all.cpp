#include "workers/mpi/all_to_all.h"

#include <cassert>
#include <cstdint>

#include "workers/mpi/byte_exchange.h"

namespace tessera {

std::vector<std::vector<std::byte>> all_to_all(const Communicator& world,
                                               std::vector<std::vector<std::byte>> sent,
                                               std::size_t round_bytes) {
  assert(std::ssize(sent) == world.size());
  if (sent.size() == 1) return sent;
  std::vector<std::byte> bytes;
  std::vector<std::int64_t> counts;
  for (std::vector<std::byte>& one : sent) {
    bytes.insert(bytes.end(), one.begin(), one.end());
    counts.push_back(std::ssize(one));
    one = {};
  }
  const std::vector<std::byte> came =
      exchange_bytes(world, bytes, counts, static_cast<std::int64_t>(round_bytes));
  auto from = came.begin();
  for (std::size_t rank = 0; rank < sent.size(); ++rank) {
    sent[rank].assign(from, from + counts[rank]);
    from += counts[rank];
  }
  return sent;
}

}  // namespace tessera
