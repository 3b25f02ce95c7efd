#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// Bytes for each owner, or from each owner, in the order of the owners.
using OwnerBytes = std::vector<std::vector<std::byte>>;

/// How the owners of clusters exchange what they need from each other. One process may hold several owners,
/// as in tests, or one, as a rank does.
class OwnerExchange {
 public:
  virtual ~OwnerExchange() = default;
  virtual std::size_t owners() const = 0;
  /// The owners of this process are [first, first + here).
  virtual std::size_t first() const = 0;
  virtual std::size_t here() const = 0;
  /// Collective: bytes from owner to owner. `sent[i][j]` goes from the i-th owner of this process to owner j;
  /// `received[i][j]` is what owner j sent to the i-th owner of this process. Errors: Error.
  virtual std::vector<OwnerBytes> exchange(std::vector<OwnerBytes> sent) const = 0;
  /// Collective: element-wise sums over the processes, in place.
  virtual void sum(std::span<std::int64_t> values) const = 0;
};

/// All owners in this process.
class LocalExchange : public OwnerExchange {
 public:
  explicit LocalExchange(std::size_t owners) : owners_(owners) {}
  std::size_t owners() const override { return owners_; }
  std::size_t first() const override { return 0; }
  std::size_t here() const override { return owners_; }
  std::vector<OwnerBytes> exchange(std::vector<OwnerBytes> sent) const override;
  void sum(std::span<std::int64_t>) const override {}

 private:
  std::size_t owners_;
};

}  // namespace tessera
