#include "workers/infer/tile_predictor.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <cstring>

#include "io/error.h"
#include "io/volume_reader.h"
#include "workers/network/unet.h"

namespace tessera {

std::string name_of(Precision precision) {
  switch (precision) {
    case Precision::bfloat16: return "bfloat16";
    case Precision::float16: return "float16";
    case Precision::float32: break;
  }
  return "float32";
}

namespace {

at::ScalarType scalar_type(Precision precision) {
  switch (precision) {
    case Precision::bfloat16: return at::kBFloat16;
    case Precision::float16: return at::kHalf;
    case Precision::float32: break;
  }
  return at::kFloat;
}

/// A tensor over the buffer's voxels as (1, channels * sections, y, x), in float32 on the device.
at::Tensor to_device_float(const VoxelBuffer& buffer, const at::Device& device) {
  const std::vector<std::int64_t> shape{1, buffer.channels * buffer.shape.z, buffer.shape.y, buffer.shape.x};
  auto* data = const_cast<std::byte*>(buffer.bytes.data());  // from_blob takes no const; nothing writes to it
  switch (buffer.type) {
    case VoxelType::uint8: return at::from_blob(data, shape, at::kByte).to(device).to(at::kFloat);
    case VoxelType::float32: return at::from_blob(data, shape, at::kFloat).to(device);
    case VoxelType::uint16: {
      // LibTorch 1.13 has no uint16: the bits travel as int16, negative ones stand for 32768 and more.
      const auto values = at::from_blob(data, shape, at::kShort).to(device).to(at::kInt);
      return values.bitwise_and(0xFFFF).to(at::kFloat);
    }
    default: break;
  }
  throw UsageError(fmt::format("raw voxels of {} are not supported: use uint8, uint16 or float32", name_of(buffer.type)));
}

}  // namespace

struct TilePredictor::Engine {
  std::shared_ptr<UNetImpl> network;
  at::Device device{at::kCPU};
  at::ScalarType type = at::kFloat;
};

TilePredictor::TilePredictor(std::shared_ptr<UNetImpl> network, const PredictorOptions& options)
    : engine_(std::make_unique<Engine>()), options_(options) {
  const std::int64_t classes = std::max<std::int64_t>(2, network->options().classes);
  if (options.output_class < 0 || options.output_class >= classes) {
    throw UsageError(fmt::format("class {} was asked for, but the network tells {} classes apart: 0 to {}",
                                 options.output_class, classes, classes - 1));
  }
  if (options.precision == Precision::float16 && !options.device.cuda) {
    throw UsageError("precision: float16 needs a CUDA device; on the CPU use float32 or bfloat16");
  }
  engine_->device = options.device.cuda ? at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(options.device.index))
                                        : at::Device(at::kCPU);
  engine_->type = scalar_type(options.precision);
  torch::NoGradGuard no_grad;
  network->eval();
  network->to(engine_->device, engine_->type);
  for (auto& parameter : network->parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
  engine_->network = std::move(network);
}

TilePredictor::~TilePredictor() = default;

VoxelBuffer TilePredictor::predict(const VoxelBuffer& raw, const Box& raw_box, const Index3& volume_shape,
                                   const std::vector<Tile>& tiles, const Box& block,
                                   const std::function<void(std::int64_t)>& after_tile) const {
  c10::InferenceMode inference;
  VoxelBuffer result(options_.output_type, block.shape());
  const Normalisation& norm = options_.normalisation;
  for (const Tile& tile : tiles) {
    const VoxelBuffer input = cut_mirrored(raw, raw_box, tile.input, volume_shape);
    at::Tensor x = to_device_float(input, engine_->device);
    x = ((x - norm.mean) / norm.std).to(engine_->type).contiguous(at::MemoryFormat::ChannelsLast);
    const Box& core = tile.core_in_output;
    at::Tensor logits = engine_->network->forward(x);
    logits = logits.narrow(2, core.begin.y, core.shape().y).narrow(3, core.begin.x, core.shape().x).to(at::kFloat);
    at::Tensor probability;
    if (logits.size(1) == 1) {
      probability = at::sigmoid(options_.output_class == 1 ? logits : -logits).select(1, 0);
    } else {
      probability = at::softmax(logits, 1).select(1, options_.output_class);
    }
    if (!probability.isfinite().all().item<bool>()) {
      throw Error(fmt::format("the prediction over {} is not finite: the network's weights or the precision {} are unfit "
                              "(try precision: float32, or another checkpoint)", to_string(tile.core),
                              name_of(options_.precision)));
    }
    if (options_.output_type == VoxelType::uint8) probability = (probability * 255).round().to(at::kByte);
    probability = probability.to(at::kCPU).contiguous();
    const std::int64_t width = size_of(options_.output_type);
    const Index3 at = tile.core.begin - block.begin, shape = tile.core.shape();
    const auto* from = static_cast<const std::byte*>(probability.data_ptr());
    for (std::int64_t y = 0; y < shape.y; ++y) {
      std::memcpy(result.bytes.data() + ((at.z * result.shape.y + at.y + y) * result.shape.x + at.x) * width,
                  from + y * shape.x * width, static_cast<std::size_t>(shape.x * width));
    }
    if (after_tile) after_tile(tile.core.voxels());
  }
  return result;
}

}  // namespace tessera
