#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// A message between two ranks.
struct Message {
  int source = 0;
  int tag = 0;
  std::vector<std::byte> bytes;
};

/// A group of ranks. Works without MPI too, as a group of one (`alone`), so that a program started without
/// a launcher needs no MPI_Init. Every wait polls and sleeps, so that a waiting rank leaves its core to the
/// others (Open MPI itself waits by spinning).
/// Methods marked collective must be called by every rank of the group, in the same order.
class Communicator {
 public:
  /// A group of this process only.
  static Communicator alone() { return {}; }
  /// The ranks of `comm`, which is duplicated: collective.
  explicit Communicator(MPI_Comm comm);
  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&& other) noexcept;
  ~Communicator();

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_root() const { return rank_ == 0; }
  /// The MPI handle; MPI_COMM_NULL when alone without MPI.
  MPI_Comm handle() const { return comm_; }

  /// Collective: the ranks of the same `group` form a new group, ordered by rank.
  Communicator split(int group) const;
  /// Collective: the ranks of this rank's node, ordered by rank. A node is where ranks can share memory
  /// (MPI_COMM_TYPE_SHARED), whatever its host name is.
  Communicator node() const;

  /// Collective.
  void barrier() const;
  /// Collective: the root's text on every rank.
  void broadcast(std::string& text, int root = 0) const;
  void broadcast(std::span<std::byte> bytes, int root = 0) const;
  /// Collective: the root's bytes, however many, on every rank.
  void broadcast(std::vector<std::byte>& bytes, int root = 0) const;
  /// Collective: element-wise sums on every rank, in place.
  void sum(std::span<double> values) const;
  void sum(std::span<std::int64_t> values) const;
  void sum(std::span<float> values) const;
  /// Collective: whether the flag is set on any rank.
  bool any(bool flag) const;
  /// Collective: the smallest of the ranks' values, on every rank.
  std::int64_t minimum(std::int64_t value) const;
  /// Collective: element-wise maxima on every rank, in place.
  void maximum(std::span<double> values) const;
  /// Collective: every rank's text, in rank order, on every rank. The texts may differ in length. Two MPI
  /// collectives for texts of together up to kGatherBytes.
  std::vector<std::string> all_gather(const std::string& text) const;
  static constexpr std::size_t kGatherBytes = std::size_t{16} << 20;

  /// Sends and waits until the bytes may be reused. Errors: Error for more than 2 GiB.
  void send(int destination, int tag, std::span<const std::byte> bytes) const;
  /// A message with this tag from any rank, if one has arrived.
  std::optional<Message> try_receive(int tag) const;

 private:
  Communicator() = default;
  /// Takes over `comm`.
  static Communicator owning(MPI_Comm comm);
  void wait(MPI_Request request) const;
  template <class T>
  void reduce(std::span<T> values, MPI_Datatype type, MPI_Op operation, const char* what) const;

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
};

/// The sleep of a polling loop: none in the first rounds, then longer each time, up to `longest_us`
/// microseconds.
class PoliteWait {
 public:
  explicit PoliteWait(int longest_us = 1000) : longest_us_(longest_us) {}
  void pause();
  void reset() { rounds_ = 0; }

 private:
  int longest_us_;
  int rounds_ = 0;
};

/// Throws an Error that says what MPI failed to do, unless `status` is MPI_SUCCESS.
void check_mpi(int status, const char* what);

}  // namespace tessera
