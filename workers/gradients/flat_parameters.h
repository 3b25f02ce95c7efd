#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

class Network;

/// A network's parameters, their gradients and its batch statistics as flat vectors: one vector to reduce,
/// one for the optimizer's step. Parameters are in the order in which a backward pass finishes their
/// gradients. So the final gradients are a prefix of the vector, which can be sent while the rest is
/// computed. Each parameter is aligned to kEntryAlignment for a GPU's kernels; the padding is 0 and stays 0.
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
  /// float32, their gradient, followed by the sum of the samples' batch statistics: the vector to reduce.
  at::Tensor& sums() { return sums_; }
  at::Tensor gradient() const { return sums_.narrow(0, 0, values_.numel()); }
  /// The part of a flat vector that belongs to an entry, in the parameter's shape.
  static at::Tensor piece(const at::Tensor& vector, const Entry& entry);
  /// The entry of this name. Errors: std::out_of_range.
  const Entry& entry(const std::string& name) const;

  bool has_statistics() const { return !statistics_.empty(); }
  /// Before a batch: saves the batch statistics, from which every sample starts.
  void keep_statistics();
  /// To be called after the network's buffers were written by other code.
  void statistics_changed() { kept_count_ = kUnknown; }
  /// Before a sample: restores the saved statistics.
  void restore_statistics();
  /// After a sample: adds the network's statistics to the sums.
  void add_statistics();
  /// Instead of the reduction: the network's statistics are again as before the batch.
  void drop_statistics();
  /// After the reduction: the mean over all samples becomes the network's.
  void set_statistics(double samples);

 private:
  at::Tensor statistics_sum() const { return sums_.narrow(0, values_.numel(), kept_statistics_.numel()); }

  std::shared_ptr<Network> network_;
  at::Device device_;
  std::vector<Entry> entries_;
  at::Tensor values_, sums_, kept_statistics_;
  std::vector<at::Tensor> statistics_;       ///< the network's own buffers
  std::vector<at::Tensor> samples_counted_;  ///< likewise: the number of samples, over all workers
  static constexpr std::int64_t kUnknown = -1;
  std::int64_t kept_count_ = kUnknown;  ///< kept on the host, so that no step reads it from the device
};

}  // namespace tessera
