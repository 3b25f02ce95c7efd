#include "workers/gradients/flat_parameters.h"

#include <ATen/Functions.h>

#include <map>
#include <numeric>
#include <stdexcept>

#include "io/geometry/box.h"
#include "workers/network/network.h"

namespace tessera {
namespace {

/// The names of all parameters, in the order in which a backward pass finishes their gradients: from the last
/// layer to the first, and within a layer in the order of the description.
std::vector<std::string> backward_order(const NetworkDescription& network) {
  std::vector<std::vector<std::string>> by_layer(network.layers.size());
  for (const TensorDescription& tensor : tensors_of(network)) {
    if (tensor.is_parameter()) by_layer[static_cast<std::size_t>(tensor.layer)].push_back(tensor.name);
  }
  std::vector<std::string> names;
  for (auto layer = by_layer.rbegin(); layer != by_layer.rend(); ++layer)
    names.insert(names.end(), layer->begin(), layer->end());
  return names;
}

}  // namespace

std::int64_t FlatParameters::Entry::count() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

FlatParameters::FlatParameters(std::shared_ptr<Network> network, const at::Device& device)
    : network_(std::move(network)), device_(device) {
  torch::NoGradGuard no_grad;
  network_->to(device_);
  std::map<std::string, at::Tensor> parameters;
  for (const auto& item : network_->named_parameters())
    parameters.emplace(item.key(), item.value());
  std::int64_t count = 0;
  for (const std::string& name : backward_order(network_->description())) {
    const at::Tensor& p = parameters.at(name);
    const std::int64_t begin = round_up(count, kEntryAlignment);
    entries_.push_back({name, begin, p.sizes().vec()});
    count = begin + p.numel();
  }
  if (entries_.size() != parameters.size())
    throw std::logic_error("a parameter has no place in the flat vector");
  std::int64_t statistics_count = 0;
  for (const auto& item : network_->named_buffers()) {
    if (!item.value().is_floating_point()) {
      samples_counted_.push_back(item.value());
      continue;
    }
    statistics_.push_back(item.value());
    statistics_count += item.value().numel();
  }
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device_);
  values_ = at::zeros({count}, options);
  sums_ = at::zeros({count + statistics_count}, options);
  kept_statistics_ = at::zeros({statistics_count}, options);
  for (const Entry& entry : entries_) {
    at::Tensor& p = parameters.at(entry.name);
    const at::Tensor view = piece(values_, entry);
    view.copy_(p);
    p.set_data(view);
    p.mutable_grad() = piece(sums_, entry);
  }
}

at::Tensor FlatParameters::piece(const at::Tensor& vector, const Entry& entry) {
  return vector.narrow(0, entry.begin, entry.count()).view(entry.shape);
}

const FlatParameters::Entry& FlatParameters::entry(const std::string& name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name) return entry;
  }
  throw std::out_of_range("no parameter " + name);
}

void FlatParameters::keep_statistics() {
  if (!samples_counted_.empty() && kept_count_ == kUnknown)
    kept_count_ = samples_counted_.front().item<std::int64_t>();
  std::int64_t at = 0;
  for (const at::Tensor& own : statistics_) {
    kept_statistics_.narrow(0, at, own.numel()).copy_(own.flatten());
    at += own.numel();
  }
}

void FlatParameters::restore_statistics() {
  std::int64_t at = 0;
  for (at::Tensor& own : statistics_) {
    own.copy_(kept_statistics_.narrow(0, at, own.numel()).view(own.sizes()));
    at += own.numel();
  }
}

void FlatParameters::add_statistics() {
  std::int64_t at = 0;
  const at::Tensor sum = statistics_sum();
  for (const at::Tensor& own : statistics_) {
    sum.narrow(0, at, own.numel()).add_(own.flatten());
    at += own.numel();
  }
}

void FlatParameters::drop_statistics() {
  restore_statistics();
  for (at::Tensor& count : samples_counted_)
    count.fill_(kept_count_);
}

void FlatParameters::set_statistics(double samples) {
  if (!has_statistics()) return;
  kept_statistics_.copy_(statistics_sum() / samples);
  restore_statistics();
  kept_count_ += static_cast<std::int64_t>(samples);
  for (at::Tensor& count : samples_counted_)
    count.fill_(kept_count_);
}

}  // namespace tessera
