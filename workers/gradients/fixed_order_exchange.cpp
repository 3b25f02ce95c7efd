#include "workers/gradients/gradient_exchange.h"
#include "workers/gradients/host_copy.h"
#include "workers/gradients/sample_tree.h"

namespace tessera {
namespace {

class FixedOrderExchange : public GradientExchange {
 public:
  FixedOrderExchange(const Communicator& workers, std::int64_t global_batch, std::string text)
      : GradientExchange(std::move(text)), tree_(workers, global_batch) {}

  /// Called after every single sample: moves its values into the tree and leaves zeros.
  void end_samples(at::Tensor& sums) override {
    tree_.add(HostCopy(flat_).values<float>(), HostCopy(sums).values<double>());
    flat_.zero_();
    sums.zero_();
  }

  void finish(at::Tensor& sums) override {
    HostCopy flat(flat_), scalars(sums);
    tree_.sum(flat.values<float>(), scalars.values<double>());
    flat.write_back();
    scalars.write_back();
  }

 private:
  SampleTree tree_;
};

}  // namespace

std::unique_ptr<GradientExchange> make_fixed_order_exchange(const Communicator& workers,
                                                            std::int64_t global_batch, std::string text) {
  return std::make_unique<FixedOrderExchange>(workers, global_batch, std::move(text));
}

}  // namespace tessera
