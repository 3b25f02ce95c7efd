#include "workers/agglomerate/owner_exchange.h"

#include <utility>

namespace tessera {

std::vector<OwnerBytes> LocalExchange::exchange(std::vector<OwnerBytes> sent) const {
  std::vector<OwnerBytes> received(owners_, OwnerBytes(owners_));
  for (std::size_t from = 0; from < owners_; ++from) {
    for (std::size_t to = 0; to < owners_; ++to)
      received[to][from] = std::move(sent[from][to]);
  }
  return received;
}

}  // namespace tessera
