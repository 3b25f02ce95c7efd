#include "workers/network/torchscript_network.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <fmt/format.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <new>
#include <nlohmann/json.hpp>

#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/base/file_bytes.h"
#include "io/base/json_text.h"
#include "io/base/zip_check.h"
#include "io/geometry/box.h"
#include "workers/device/out_of_memory.h"
#include "workers/device/torch_types.h"
#include "workers/network/torchscript_export.h"

namespace tessera {
namespace {

/// Lets LibTorch read a file's bytes without a copy.
class BytesInMemory : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit BytesInMemory(std::shared_ptr<const std::vector<std::byte>> bytes) : bytes_(std::move(bytes)) {}
  std::size_t size() const override { return bytes_->size(); }
  std::size_t read(std::uint64_t at, void* to, std::size_t count, const char*) const override {
    const std::size_t begin = std::min<std::size_t>(at, bytes_->size());
    const std::size_t copied = std::min(count, bytes_->size() - begin);
    std::memcpy(to, bytes_->data() + begin, copied);
    return copied;
  }

 private:
  std::shared_ptr<const std::vector<std::byte>> bytes_;
};

torch::jit::Module load_module(const TorchScriptFile& file, const at::Device& device,
                               std::unordered_map<std::string, std::string>& extra) {
  try {
    torch::jit::Module module =
        torch::jit::load(std::make_shared<BytesInMemory>(file.content), device, extra);
    module.eval();
    return module;
  } catch (const c10::Error& error) {
    throw Error(fmt::format("{} cannot be loaded as TorchScript: {}", file.name.string(),
                            error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw Error(fmt::format("{} cannot be loaded as TorchScript: {}", file.name.string(), message_of(error)));
  }
}

class TorchScriptNetwork : public TileNetwork {
 public:
  TorchScriptNetwork(const TorchScriptModel& model, Precision precision, const Device& device)
      : name_(model.file.name.string()), type_(scalar_type(precision)), precision_(precision) {
    if (precision == Precision::float16 && !device.cuda) {
      throw UsageError("precision: float16 needs a CUDA device; on the CPU use float32 or bfloat16");
    }
    std::unordered_map<std::string, std::string> none;
    module_ = load_module(model.file, torch_device(device), none);
    if (precision != Precision::float32) module_.to(type_);
  }

  std::string text() const override { return fmt::format("TorchScript {}, {}", name_, name_of(precision_)); }

  at::Tensor logits(const at::Tensor& input) override {
    const c10::InferenceMode inference;
    const at::Tensor output = named_out_of_memory(input, [&]() -> at::Tensor {
      try {
        const c10::IValue value = module_.forward({input.to(type_)});
        return value.isTensor() ? value.toTensor().to(at::kFloat) : at::Tensor();
      } catch (const std::bad_alloc&) {
        throw;
      } catch (const c10::Error&) {
        throw;
      } catch (const std::exception& error) {
        throw Error(fmt::format("{} failed on an input of {} x {} pixels: {}", name_, input.size(2),
                                input.size(3), error.what()));
      }
    });
    if (!output.defined() || output.dim() != 4 || output.size(0) != 1) {
      throw Error(fmt::format("the output of {} is not a tensor of 4 dimensions (1, classes, h, w)", name_));
    }
    return output;
  }

 private:
  std::string name_;
  at::ScalarType type_;
  Precision precision_;
  torch::jit::Module module_;
};

std::int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    std::int64_t kib = 0;
    if (name == "VmHWM:" && status >> kib) return kib * 1024;
    status.ignore(4096, '\n');
  }
  return 0;
}

/// Whether the output for an input of this side has the declared size. Sets `output`.
bool has_declared_size(TileNetwork& network, const TorchScriptModel& model, std::int64_t side,
                       at::Tensor* output) {
  const std::int64_t expected = model.padding == Padding::valid ? side - 2 * model.margin : side;
  try {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
    *output = network.logits(at::normal(0.0, 1.0, {1, model.in_channels, side, side}, generator));
  } catch (const c10::Error&) {
    return false;  // the network does not support this size
  } catch (const Error&) {
    return false;
  }
  return output->size(2) == expected && output->size(3) == expected;
}

/// The whole number of a key, within the bounds. Errors: nlohmann's, Error.
std::int64_t whole_number(const nlohmann::json& json, const char* key, std::int64_t least) {
  constexpr std::int64_t kMost = 1 << 20;
  const nlohmann::json& value = json.at(key);
  const std::int64_t number = value.is_number_integer() ? value.get<std::int64_t>() : least - 1;
  if (number < least || number > kMost) throw Error(fmt::format("{} is {}", key, value.dump()));
  return number;
}

/// `text`: the record that `tessera export-model` wrote. Errors: Error.
TorchScriptFacts parse_facts(const std::string& text, const std::string& name) {
  try {
    const auto json = parse_json<nlohmann::json>(text);
    TorchScriptFacts facts;
    const auto padding = value_named<Padding>(json.at("padding").get<std::string>());
    const auto activation = value_named<Activation>(json.at("activation").get<std::string>());
    if (!padding || !activation) throw Error("the padding or the activation is unknown");
    facts.model.padding = *padding;
    facts.model.activation = *activation;
    facts.model.margin = whole_number(json, "margin", 0);
    facts.model.alignment = whole_number(json, "alignment", 1);
    facts.model.in_channels = whole_number(json, "in_channels", 1);
    facts.model.classes = whole_number(json, "classes", 1);
    facts.mean = json.at("mean");
    facts.std = json.at("std");
    if (!std::isfinite(facts.mean) || !std::isfinite(facts.std) || facts.std <= 0)
      throw Error(fmt::format("the mean {} and the deviation {} cannot be used", facts.mean, facts.std));
    facts.by_volume = json.value("by_volume", false);
    return facts;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(fmt::format("{}: the record tessera.json in the file is damaged: {}", name, error.what()));
  }
}

at::Tensor probability_of(const at::Tensor& output, Activation activation) {
  if (activation == Activation::none) return output;
  return activation == Activation::sigmoid ? at::sigmoid(output) : at::softmax(output, 1);
}

}  // namespace

TorchScriptFile read_torchscript_file(const std::filesystem::path& name) {
  if (!std::filesystem::exists(name))
    throw Error(fmt::format("model.torchscript: {} does not exist", name.string()));
  std::vector<std::byte> bytes = read_file_bytes(name);
  require_intact_zip(bytes, name.string());  // LibTorch itself ignores the checksums
  return {name, std::make_shared<const std::vector<std::byte>>(std::move(bytes))};
}

std::unique_ptr<TileNetwork> make_torchscript_network(const TorchScriptModel& model, Precision precision,
                                                      const Device& device) {
  return std::make_unique<TorchScriptNetwork>(model, precision, device);
}

std::optional<TorchScriptFacts> read_torchscript_facts(const TorchScriptFile& file) {
  std::unordered_map<std::string, std::string> extra{{kTorchScriptFacts, ""}};
  load_module(file, at::kCPU, extra);
  if (extra[kTorchScriptFacts].empty()) return std::nullopt;
  TorchScriptFacts facts = parse_facts(extra[kTorchScriptFacts], file.name.string());
  facts.model.file = file;
  return facts;
}

TorchScriptProbe probe_torchscript(const TorchScriptModel& model) {
  const c10::InferenceMode inference;
  TorchScriptNetwork network(model, Precision::float32, {});
  TorchScriptProbe probe;
  probe.traits.in_channels = model.in_channels;
  probe.traits.classes = model.classes;
  probe.traits.activation = model.activation;
  NetworkGeometry& geometry = probe.traits.geometry;
  geometry.padding = model.padding;
  geometry.alignment = model.alignment;
  geometry.margin = round_up(model.margin, model.padding == Padding::same ? model.alignment : 1);
  const std::int64_t first = round_up(2 * model.margin + 4 * model.alignment, model.alignment);
  at::Tensor output, larger;
  std::int64_t remainder = 0;
  while (remainder < model.alignment && !has_declared_size(network, model, first + remainder, &output))
    ++remainder;
  if (remainder == model.alignment) {
    const std::string got =
        output.defined() ? fmt::format("{} x {}", output.size(2), output.size(3)) : "an error";
    throw UsageError(fmt::format(
        "{}: no input of {} to {} pixels gives the output size of a {} network with a margin of {} "
        "would; the last gave {}: "
        "correct model.margin, model.alignment or model.padding",
        model.file.name.string(), first, first + remainder - 1,
        model.padding == Padding::valid ? "valid" : "'same'", model.margin, got));
  }
  if (output.size(1) != model.classes) {
    throw UsageError(fmt::format("{} has {} output classes, but model.classes is {}",
                                 model.file.name.string(), output.size(1), model.classes));
  }
  geometry.side_remainder = remainder;
  geometry.smallest_input = remainder == 0 ? model.alignment : remainder;
  while (geometry.smallest_input <= 2 * geometry.margin)
    geometry.smallest_input += model.alignment;

  // The same pixels in a larger tile, which is wider by the alignment on every side.
  const std::int64_t side = first + remainder, grown = side + 2 * model.alignment;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(11);
  const at::Tensor x = at::normal(0.0, 1.0, {1, model.in_channels, grown, grown}, generator);
  std::ofstream("/proc/self/clear_refs") << "5";  // resets the peak, if the system allows it
  const std::int64_t before = peak_memory();
  larger = probability_of(network.logits(x), model.activation);
  const double used = static_cast<double>(peak_memory() - before) / static_cast<double>(grown * grown);
  // Rounded up to a power of two, so that the value is reproducible.
  probe.traits.bytes_per_pixel =
      static_cast<double>(std::bit_ceil(static_cast<std::uint64_t>(std::max(used, 256.0))));
  const at::Tensor smaller = probability_of(
      network.logits(x.narrow(2, model.alignment, side).narrow(3, model.alignment, side).contiguous()),
      model.activation);
  const std::int64_t rim = model.padding == Padding::same ? geometry.margin : 0,
                     inner = smaller.size(2) - 2 * rim;
  const auto part = [&](const at::Tensor& of, std::int64_t at) {
    return of.narrow(2, at, inner).narrow(3, at, inner);
  };
  probe.tile_dependence =
      (part(smaller, rim) - part(larger, rim + model.alignment)).abs().max().item<double>();
  return probe;
}

}  // namespace tessera
