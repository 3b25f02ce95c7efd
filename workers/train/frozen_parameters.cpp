#include "workers/train/frozen_parameters.h"

namespace tessera {

FrozenParameters::FrozenParameters(const FlatParameters& parameters, const std::vector<std::string>& names) {
  entries_.reserve(names.size());
  for (const std::string& name : names)
    entries_.push_back(parameters.entry(name));
}

void FrozenParameters::clear(at::Tensor& gradient) const {
  for (const FlatParameters::Entry& entry : entries_)
    FlatParameters::piece(gradient, entry).zero_();
}

void FrozenParameters::keep(const at::Tensor& values) {
  kept_.clear();
  kept_.reserve(entries_.size());
  for (const FlatParameters::Entry& entry : entries_)
    kept_.push_back(FlatParameters::piece(values, entry).clone());
}

void FrozenParameters::put_back(at::Tensor& values) const {
  for (std::size_t i = 0; i < kept_.size(); ++i)
    FlatParameters::piece(values, entries_[i]).copy_(kept_[i]);
}

}  // namespace tessera
