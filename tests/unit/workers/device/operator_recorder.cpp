#include "operator_recorder.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <string>
#include <vector>

namespace tessera::testing {
namespace {

constexpr c10::DispatchKey kKey = c10::DispatchKey::TESTING_ONLY_GenericMode;

struct RecordedOperator {
  c10::OperatorHandle what;
  torch::jit::Stack arguments, results;
};
using Recording = std::vector<RecordedOperator>;

/// The recording of this thread, or null.
thread_local Recording* recording = nullptr;

void require_recordable(const std::string& name) {
  for (const char* not_recorded : {"aten::_local_scalar_dense",
                                   "aten::item",
                                   "aten::is_nonzero",
                                   "aten::equal",
                                   "aten::nonzero",
                                   "aten::masked_select",
                                   "aten::bernoulli",
                                   "aten::bernoulli_",
                                   "aten::normal_",
                                   "aten::uniform_",
                                   "aten::random_",
                                   "aten::rand",
                                   "aten::randn",
                                   "aten::randint",
                                   "aten::rand_like",
                                   "aten::randn_like",
                                   "aten::exponential_",
                                   "aten::multinomial",
                                   "aten::randperm",
                                   "aten::dropout",
                                   "aten::unique2"})
    TORCH_CHECK(name != not_recorded, name, " cannot be recorded");
}

/// Whether the operator allocated a result: it is neither an argument nor a view of one.
bool is_new(const at::Tensor& result, const torch::jit::Stack& arguments) {
  if (!result.defined()) return false;
  for (const c10::IValue& argument : arguments) {
    if (argument.isTensor() && argument.toTensor().defined() && result.is_alias_of(argument.toTensor()))
      return false;
  }
  return true;
}

void record(const c10::OperatorHandle& what, torch::jit::Stack* stack) {
  const auto count = what.schema().arguments().size();
  torch::jit::Stack arguments(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
  const c10::impl::ExcludeDispatchKeyGuard below(kKey);
  require_recordable(what.schema().name());
  what.callBoxed(stack);
  recording->push_back(
      {what,
       std::move(arguments),
       {stack->end() - static_cast<std::ptrdiff_t>(what.schema().returns().size()), stack->end()}});
}

class RecordedOperators : public RecordedKernels {
 public:
  explicit RecordedOperators(const std::function<void()>& kernels) {
    kernels();
    kernels();
    record_from(kernels);
    // A recording launches no kernels, so the results of the recording run are discarded.
    for (const RecordedOperator& one : recording_)
      for_each_new(one, one.results, [](const at::Tensor& written, std::size_t) { spoil(written); });
  }

  void replay() override {
    for (const RecordedOperator& one : recording_) {
      torch::jit::Stack stack = one.arguments;
      one.what.callBoxed(&stack);
      for_each_new(one, one.results,
                   [&](const at::Tensor& written, std::size_t i) { written.copy_(stack[i].toTensor()); });
    }
  }

 private:
  void record_from(const std::function<void()>& kernels) {
    recording = &recording_;
    const c10::impl::IncludeDispatchKeyGuard recorded(kKey);
    try {
      kernels();
    } catch (...) {
      recording = nullptr;
      throw;
    }
    recording = nullptr;
  }
  static void for_each_new(const RecordedOperator& one, const torch::jit::Stack& results,
                           const std::function<void(const at::Tensor&, std::size_t)>& take) {
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i].isTensor() && is_new(results[i].toTensor(), one.arguments))
        take(results[i].toTensor(), i);
    }
  }
  static void spoil(const at::Tensor& tensor) {
    if (tensor.is_floating_point()) {
      tensor.fill_(1e30);
    } else {
      tensor.zero_();  // max-pooling indices must stay valid
    }
  }

  Recording recording_;
};

}  // namespace

KernelRecorder operator_recorder() {
  return [](const std::function<void()>& kernels) { return std::make_unique<RecordedOperators>(kernels); };
}

KernelRecorder counted_recorder(int& recorded) {
  return [&recorded, record = operator_recorder()](const std::function<void()>& kernels) {
    ++recorded;
    return record(kernels);
  };
}

TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&record>());
}

}  // namespace tessera::testing
