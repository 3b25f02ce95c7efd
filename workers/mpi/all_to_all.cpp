#include "workers/mpi/all_to_all.h"

#include <mpi.h>

#include <algorithm>
#include <cassert>
#include <cstdint>

#include "workers/mpi/mpi_lock.h"

namespace tessera {
namespace {

constexpr const char* kExchange = "exchange with every rank";

/// Waits for an operation that `begin` begins.
template <class Begin>
void begin_and_wait(const Begin& begin) {
  MPI_Request request{};
  call_mpi(kExchange, [&] { return begin(&request); });
  PoliteWait waiting;
  for (int done = 0;;) {
    call_mpi(kExchange, [&] { return MPI_Test(&request, &done, MPI_STATUS_IGNORE); });
    if (done != 0) return;
    waiting.pause();
  }
}

/// The part of a message of `size` bytes that one round sends.
int part_of(std::size_t size, std::size_t round, std::size_t most) {
  const std::size_t begin = std::min(size, round * most);
  return static_cast<int>(std::min(most, size - begin));
}

/// Where each part begins when they are stored one after the other; the end at last.
std::vector<int> offsets_of(const std::vector<int>& counts) {
  std::vector<int> offsets{0};
  for (const int count : counts)
    offsets.push_back(offsets.back() + count);
  return offsets;
}

}  // namespace

std::vector<std::vector<std::byte>> all_to_all(const Communicator& world,
                                               std::vector<std::vector<std::byte>> sent,
                                               std::size_t round_bytes) {
  const auto ranks = static_cast<std::size_t>(world.size());
  assert(sent.size() == ranks);
  if (world.handle() == MPI_COMM_NULL) return sent;
  std::vector<std::uint64_t> sizes(ranks), coming(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank)
    sizes[rank] = sent[rank].size();
  const MpiWait waiting(kExchange);
  begin_and_wait([&](MPI_Request* request) {
    return MPI_Ialltoall(sizes.data(), 1, MPI_UINT64_T, coming.data(), 1, MPI_UINT64_T, world.handle(),
                         request);
  });
  const std::size_t most = std::max<std::size_t>(1, round_bytes / ranks);
  const std::uint64_t longest = std::max(*std::max_element(sizes.begin(), sizes.end()),
                                         *std::max_element(coming.begin(), coming.end()));
  // The longest message decides how many rounds all ranks make.
  const auto rounds =
      static_cast<std::size_t>(-world.minimum(-static_cast<std::int64_t>((longest + most - 1) / most)));
  std::vector<std::vector<std::byte>> received(ranks);
  std::vector<int> out(ranks), in(ranks);
  std::vector<std::byte> out_bytes, in_bytes;
  for (std::size_t round = 0; round < rounds; ++round) {
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      out[rank] = part_of(sizes[rank], round, most);
      in[rank] = part_of(coming[rank], round, most);
    }
    const std::vector<int> out_offsets = offsets_of(out), in_offsets = offsets_of(in);
    out_bytes.resize(static_cast<std::size_t>(out_offsets.back()));
    in_bytes.resize(static_cast<std::size_t>(in_offsets.back()));
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      const auto from =
          sent[rank].begin() + static_cast<std::ptrdiff_t>(std::min(sent[rank].size(), round * most));
      std::copy_n(from, out[rank], out_bytes.begin() + out_offsets[rank]);
    }
    begin_and_wait([&](MPI_Request* request) {
      return MPI_Ialltoallv(out_bytes.data(), out.data(), out_offsets.data(), MPI_BYTE, in_bytes.data(),
                            in.data(), in_offsets.data(), MPI_BYTE, world.handle(), request);
    });
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      const auto from = in_bytes.begin() + in_offsets[rank];
      received[rank].insert(received[rank].end(), from, from + in[rank]);
    }
  }
  return received;
}

}  // namespace tessera
