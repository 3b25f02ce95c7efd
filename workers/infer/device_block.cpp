#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>

#include "io/geometry/mirror.h"
#include "workers/infer/block_memory.h"

namespace tessera {
namespace {

/// LibTorch lacks uint16, so its bits are stored as int16.
at::ScalarType held_type(VoxelType type) {
  switch (type) {
    case VoxelType::uint8:
      return at::kByte;
    case VoxelType::uint16:
      return at::kShort;
    case VoxelType::float16:
      return at::kHalf;
    case VoxelType::float32:
      return at::kFloat;
    default:
      break;
  }
  throw UsageError(
      fmt::format("raw voxels of {} are not supported: use uint8, uint16 or float32", name_of(type)));
}

/// mirror_index of `begin` to `end` - 1, computed on the device: this needs no copy and no wait.
at::Tensor mirrored_indices(std::int64_t begin, std::int64_t end, std::int64_t n, const at::Device& device) {
  const at::Tensor i = at::arange(begin, end, at::TensorOptions(at::kLong).device(device));
  if (n == 1) return at::zeros_like(i);
  const std::int64_t last = n - 1;
  return last - (last - at::remainder(i, 2 * last)).abs();
}

class DeviceBlock : public BlockMemory {
 public:
  DeviceBlock(const BlockRequest& request, DeviceBlockMemory& memory, std::vector<std::byte> result)
      : request_(request),
        memory_(memory),
        result_(request.options.output_type, request.block.shape(), request.channels, std::move(result)),
        on_device_(view(memory.result, held_type(request.options.output_type), result_)),
        uploaded_(static_cast<std::size_t>(request.raw.shape.z), false),
        z_(request.block.begin.z) {
    raw_ = view(memory.raw, held_type(request.raw.type), request.raw);
    memory_.taken = true;
  }
  ~DeviceBlock() override {
    memory_.taken = false;
    if (finished_) return;
    try {
      memory_.copies.drop();
    } catch (const std::exception&) {  // the device has failed: the exception being propagated reports it
    }
  }
  DeviceBlock(const DeviceBlock&) = delete;
  DeviceBlock& operator=(const DeviceBlock&) = delete;

  at::Tensor normalised(const Box& box) override {
    const Index3 shape = box.shape();
    const std::int64_t channels = request_.raw.channels;
    at::Tensor cut = sections(box.begin.z, box.end.z);
    cut = along(along(cut, 2, box.begin.y, box.end.y), 3, box.begin.x, box.end.x);
    at::Tensor x = cut.to(at::kFloat);
    if (request_.raw.type == VoxelType::uint16) x = at::where(x < 0, x + 65536, x);
    if (x.is_alias_of(raw_)) x = x.clone();
    // The network may hide it: cuDNN's fused ReLU maps NaN to 0.
    if (request_.raw.type == VoxelType::float32) {
      finite_.push_back(x.isfinite().all());
      checked_boxes_.push_back({box, true});
    }
    if (request_.options.by_section.empty()) {
      const Normalisation& all = request_.options.normalisation;
      x.sub_(all.mean).div_(all.std);
    } else {
      for (std::int64_t z = 0; z < shape.z; ++z) {
        const Normalisation own =
            request_.options.normalisation_of(mirror_index(box.begin.z + z, request_.volume_shape.z));
        x.select(1, z).sub_(own.mean).div_(own.std);
      }
    }
    return x.reshape({1, channels * shape.z, shape.y, shape.x});
  }

  void require_finite(const at::Tensor& probability, const Box& core) override {
    finite_.push_back(probability.isfinite().all());
    checked_boxes_.push_back({core, false});
  }

  void store(const at::Tensor& probability, const Box& core) override {
    while (z_ < core.begin.z)
      fetch_section();
    require_finite(probability, core);
    at::Tensor values;
    if (request_.options.labels) {
      values = probability.argmax(0, /*keepdim=*/true);
    } else if (result_.type == VoxelType::uint8) {
      // Ties to even, as in quantise().
      values = (probability * 255).clamp_(0, 255).round_();
    } else {
      values = probability;
    }
    const Index3 at = core.begin - request_.block.begin, shape = core.shape();
    on_device_.select(1, at.z).narrow(1, at.y, shape.y).narrow(2, at.x, shape.x).copy_(values);
  }

  void end() override {
    while (z_ < request_.block.end.z)
      fetch_section();
    if (finite_.empty()) return;
    all_finite_ = at::stack(finite_).to(at::kByte);
    flags_.resize(checked_boxes_.size());
    memory_.copies.to_host(all_finite_, flags_);
  }

  bool is_done() override { return memory_.copies.is_idle(); }

  VoxelBuffer finish() override {
    memory_.copies.wait();
    const auto bad =
        static_cast<std::size_t>(std::find(flags_.begin(), flags_.end(), std::byte{0}) - flags_.begin());
    if (bad < flags_.size() && checked_boxes_[bad].is_raw)
      throw Error(fmt::format("the raw voxels over {} are not finite: replace NaN and infinity by a number",
                              to_string(checked_boxes_[bad].box)));
    if (bad < flags_.size()) throw_not_finite(checked_boxes_[bad].box, request_.options.precision);
    finished_ = true;
    return std::move(result_);
  }

 private:
  /// A buffer's device memory as (channels, z, y, x). Allocates more memory if needed.
  at::Tensor view(at::Tensor& bytes, at::ScalarType type, const VoxelBuffer& like) const {
    const auto wanted = static_cast<std::int64_t>(like.bytes.size());
    if (!bytes.defined() || bytes.numel() < wanted) {
      bytes = at::Tensor();  // freed before the larger allocation
      bytes = at::empty({wanted}, at::TensorOptions(at::kByte).device(memory_.device));
      memory_.copies.drop();  // waits for earlier computation in this memory: the copies use separate streams
    }
    return at::from_blob(bytes.data_ptr(), {like.channels, like.shape.z, like.shape.y, like.shape.x},
                         at::TensorOptions(type).device(memory_.device));
  }

  /// The raw sections, mirrored, as (channels, z, y, x). Their copy to the device may be in flight.
  at::Tensor sections(std::int64_t begin, std::int64_t end) {
    const std::int64_t first = request_.raw_box.begin.z, n = request_.volume_shape.z;
    std::vector<std::int64_t> wanted;
    for (std::int64_t z = begin; z < end; ++z)
      wanted.push_back(mirror_index(z, n) - first);
    for (const std::int64_t z : wanted)
      upload(z);
    const bool in_order = wanted.back() - wanted.front() + 1 == static_cast<std::int64_t>(wanted.size()) &&
                          std::ranges::is_sorted(wanted);
    if (in_order) return raw_.narrow(1, wanted.front(), end - begin);
    std::vector<at::Tensor> each;
    for (const std::int64_t z : wanted)
      each.push_back(raw_.narrow(1, z, 1));
    return at::cat(each, 1);
  }

  void upload(std::int64_t z) {
    if (uploaded_[static_cast<std::size_t>(z)]) return;
    uploaded_[static_cast<std::size_t>(z)] = true;
    const VoxelBuffer& raw = request_.raw;
    const auto section = static_cast<std::size_t>(raw.shape.y * raw.shape.x * size_of(raw.type));
    for (std::int64_t c = 0; c < raw.channels; ++c) {
      const auto offset = static_cast<std::size_t>(c * raw.shape.z + z) * section;
      memory_.copies.to_device(std::span(raw.bytes).subspan(offset, section), raw_.select(0, c).select(0, z));
    }
  }

  /// The range [begin, end) of an axis, y or x, mirrored beyond the volume.
  at::Tensor along(const at::Tensor& held, std::int64_t axis, std::int64_t begin, std::int64_t end) const {
    const int of_box = static_cast<int>(axis) - 1;
    const std::int64_t n = request_.volume_shape[of_box], first = request_.raw_box.begin[of_box];
    if (begin >= 0 && end <= n) return held.narrow(axis, begin - first, end - begin);
    return held.index_select(axis, mirrored_indices(begin, end, n, memory_.device) - first);
  }

  /// Starts the copy of the next complete section of the result to the host.
  void fetch_section() {
    const std::int64_t z = z_++ - request_.block.begin.z;
    const auto section = static_cast<std::size_t>(result_.shape.y * result_.shape.x * size_of(result_.type));
    for (std::int64_t c = 0; c < result_.channels; ++c) {
      const auto offset = static_cast<std::size_t>(c * result_.shape.z + z) * section;
      memory_.copies.to_host(on_device_.select(0, c).select(0, z),
                             std::span(result_.bytes).subspan(offset, section));
    }
  }

  BlockRequest request_;
  DeviceBlockMemory& memory_;
  VoxelBuffer result_;  ///< on the host
  at::Tensor on_device_, raw_;
  std::vector<bool> uploaded_;
  std::int64_t z_;  ///< the first section of the result whose copy to the host has not started
  std::vector<at::Tensor> finite_;
  /// The box that a finite check covers: raw voxels, or a tile's core.
  struct FiniteCheck {
    Box box;
    bool is_raw;
  };
  std::vector<FiniteCheck> checked_boxes_;
  at::Tensor all_finite_;
  std::vector<std::byte> flags_;  ///< copied to the host
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<BlockMemory> make_device_block(const BlockRequest& request, DeviceBlockMemory& memory,
                                               std::vector<std::byte> result) {
  return std::make_unique<DeviceBlock>(request, memory, std::move(result));
}

}  // namespace tessera
