#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

class Network;

/// A network's parameters, their gradients and its batch statistics as flat vectors: one vector to reduce,
/// one to step. Parameters lie in the order in which a backward pass finishes them, so that a finished
/// gradient is a prefix of the vector and can travel while the rest is computed. Each begins where a GPU's
/// kernels want a tensor to begin; the values between them are 0 and stay so.
class FlatParameters {
 public:
  static constexpr std::int64_t kEntryAlignment = 64;  ///< values
  struct Entry {
    std::string name;  ///< as in checkpoints
    std::int64_t begin = 0;
    std::vector<std::int64_t> shape;
    std::int64_t count() const;
  };

  /// Moves the network to the device and makes its parameters and their gradients views into the vectors.
  FlatParameters(std::shared_ptr<Network> network, const at::Device& device);

  Network& network() const { return *network_; }
  const at::Device& device() const { return device_; }
  const std::vector<Entry>& entries() const { return entries_; }

  /// float32, all parameters.
  at::Tensor& values() { return values_; }
  /// float32, their gradient, and behind it the sum of the batch statistics of samples: what is reduced.
  at::Tensor& sums() { return sums_; }
  at::Tensor gradient() const { return sums_.narrow(0, 0, values_.numel()); }
  /// The piece of a flat vector that belongs to an entry, shaped as the parameter.
  static at::Tensor piece(const at::Tensor& vector, const Entry& entry);
  /// Where the entry of a name is. Errors: std::out_of_range.
  const Entry& entry(const std::string& name) const;

  bool has_statistics() const { return !statistics_.empty(); }
  /// Before a batch: remembers the batch statistics, which every sample starts from.
  void keep_statistics();
  /// The network's buffers have been written from outside.
  void statistics_changed() { kept_count_ = kUnknown; }
  /// Before a sample: puts back what was kept.
  void restore_statistics();
  /// After a sample: adds the network's statistics to the sums.
  void add_statistics();
  /// After the reduction: the mean over all samples becomes the network's.
  void set_statistics(double samples);

 private:
  at::Tensor statistics_sum() const { return sums_.narrow(0, values_.numel(), kept_statistics_.numel()); }

  std::shared_ptr<Network> network_;
  at::Device device_;
  std::vector<Entry> entries_;
  at::Tensor values_, sums_, kept_statistics_;
  std::vector<at::Tensor> statistics_;       ///< the network's own buffers
  std::vector<at::Tensor> samples_counted_;  ///< likewise: how many samples they are of, over all workers
  static constexpr std::int64_t kUnknown = -1;
  std::int64_t kept_count_ = kUnknown;  ///< known, so that no step reads it from the device
};

}  // namespace tessera
