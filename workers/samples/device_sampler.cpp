#include "workers/samples/device_sampler.h"

#include <ATen/DeviceGuard.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "io/geometry/mirror.h"
#include "workers/device/out_of_memory.h"
#include "workers/numbers/cubic_kernel.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

/// Pixels whose 16 neighbours are looked up at once: bounds the memory of the interpolation.
constexpr std::int64_t kStrip = std::int64_t{1} << 19;
/// Columns of the basis: the nodes, the place from the middle, 1.
constexpr std::int64_t kBasis = static_cast<std::int64_t>(kWarpNodes) + 2;

/// What of a section is held, and where a sample's first pixel is there, as the kernels have it.
struct HeldPixels {
  int height, width, first_y, first_x;
};
HeldPixels held_pixels(const Index3& shape, std::int64_t first_y, std::int64_t first_x) {
  return {static_cast<int>(shape.y), static_cast<int>(shape.x), static_cast<int>(first_y),
          static_cast<int>(first_x)};
}

/// Which line of a square a line of its symmetric image comes from.
struct Turn {
  bool swapped, y_back, x_back;
  explicit Turn(const Symmetry& symmetry)
      : swapped(symmetry.quarter_turns % 2 == 1),
        y_back(symmetry.quarter_turns >= 2),
        x_back((symmetry.quarter_turns == 1 || symmetry.quarter_turns == 2) != symmetry.mirrored) {}
};

/// mirror_index of whole numbers, (..., 2, h, w) for y and x.
at::Tensor mirrored(const at::Tensor& places, const at::Tensor& last, const at::Tensor& period) {
  return last - (places.remainder(period) - last).abs_();
}

/// Shifts right, zeros coming in.
at::Tensor shifted_right(const at::Tensor& bits, int by) {
  return at::bitwise_right_shift(bits, by).bitwise_and_((std::int64_t{1} << (64 - by)) - 1);
}

/// mix_bits of each element.
at::Tensor mixed_bits(at::Tensor x) {
  x = shifted_right(x, 30).bitwise_xor_(x).mul_(static_cast<std::int64_t>(0xBF58476D1CE4E5B9ULL));
  x = shifted_right(x, 27).bitwise_xor_(x).mul_(static_cast<std::int64_t>(0x94D049BB133111EBULL));
  return shifted_right(x, 31).bitwise_xor_(x);
}

/// A view of a buffer in the host's memory.
template <class T>
at::Tensor view_of(const VoxelBuffer& buffer, at::ScalarType type, at::IntArrayRef shape) {
  const auto values = buffer.as<T>();
  return at::from_blob(const_cast<T*>(values.data()), shape, type);
}

at::Tensor raw_tensor(const VoxelBuffer& raw, float centre) {
  const std::array<std::int64_t, 4> shape{raw.channels, raw.shape.z, raw.shape.y, raw.shape.x};
  if (raw.type == VoxelType::uint8) return view_of<std::uint8_t>(raw, at::kByte, shape);
  at::Tensor values = at::empty(shape, at::kFloat);
  with_voxel_type(raw.type, [&](auto zero) {
    const auto from = raw.as<decltype(zero)>();
    std::transform(from.begin(), from.end(), values.data_ptr<float>(),
                   [&](auto value) { return static_cast<float>(value) - centre; });
  });
  return values;
}

}  // namespace

std::int64_t DeviceSampler::bytes_of(const TrainingSet& data) {
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < data.count(); ++i) {
    const TrainingData::Held held = data.volume(i).held();
    bytes += held.raw.channels * volume_of(held.raw.shape) * (held.raw.type == VoxelType::uint8 ? 1 : 4);
    bytes += volume_of(held.classes.shape) * (held.border.bytes.empty() ? 1 : 5);
  }
  return bytes;
}

DeviceSampler::DeviceSampler(const SampleSource& source, const at::Device& device, KernelLauncher launch)
    : source_(source),
      device_(device),
      side_(source.options().tile_side),
      output_(source.geometry().output_side(side_)),
      channels_(source.data().volume(0).network_channels()),
      launch_(std::move(launch)) {
  const at::NoGradGuard no_grad;
  const at::OptionalDeviceGuard on_device(device_);
  for (std::size_t i = 0; i < source.data().count(); ++i) {
    const TrainingData& data = source.data().volume(i);
    const TrainingData::Held held = data.held();
    Volume volume;
    // Less the mean, so that interpolating large values loses nothing.
    volume.centre = held.raw.type == VoxelType::uint8 ? 0 : static_cast<float>(data.mean());
    volume.raw = raw_tensor(held.raw, volume.centre).to(device_);
    const Index3 shape = held.classes.shape;
    const std::array<std::int64_t, 3> sides{shape.z, shape.y, shape.x};
    volume.classes = view_of<std::uint8_t>(held.classes, at::kByte, sides).to(device_);
    if (!held.border.bytes.empty())
      volume.border = view_of<float>(held.border, at::kFloat, sides).to(device_);
    volume.raw_grid = grid_of(held.raw_box);
    volume.label_grid = grid_of(held.label_box);
    volumes_.push_back(std::move(volume));
  }
  std::vector<double> basis;
  const std::vector<std::array<double, kWarpNodes>> nodes = node_weights(side_);
  const double middle = static_cast<double>(side_ - 1) / 2;
  for (std::int64_t i = 0; i < side_; ++i) {
    const auto& at_pixel = nodes[static_cast<std::size_t>(i)];
    basis.insert(basis.end(), at_pixel.begin(), at_pixel.end());
    basis.push_back(static_cast<double>(i) - middle);
    basis.push_back(1);
  }
  basis_ = at::tensor(basis, at::kDouble).view({side_, kBasis}).to(device_);
  basis_back_ = basis_.flip({0}).contiguous();
  for (const std::array<float, 4>& power : kCubicCoefficients)
    cubic_.push_back(
        at::tensor(at::ArrayRef<float>(power.data(), 4), at::kFloat).view({4, 1, 1, 1}).to(device_));
  taps_ = at::arange(-1, 3, at::kLong).view({4, 1, 1, 1}).to(device_);
  at::Tensor weights = at::zeros({256}, at::kFloat);
  std::copy(source.class_weights().begin(), source.class_weights().end(), weights.data_ptr<float>());
  class_weights_ = weights.to(device_);
  if (source.options().augmentation.noise > 0) {
    const std::int64_t values = channels_ * side_ * side_;
    noise_steps_ = at::arange(1, 2 * values + 1, at::kLong)
                       .view({values, 2})
                       .t()
                       .contiguous()
                       .mul_(static_cast<std::int64_t>(RandomStream::kStep))
                       .to(device_);
  }
}

DeviceSampler::Grid DeviceSampler::grid_of(const Box& box) const {
  const Index3 shape = box.shape();
  const std::array<std::int64_t, 2> last{shape.y - 1, shape.x - 1};
  const at::Tensor host = at::tensor(at::IntArrayRef(last), at::kLong).view({2, 1, 1});
  return {box, host.to(device_), (2 * host).clamp_min_(1).to(device_)};
}

at::Tensor DeviceSampler::to_device(const at::Tensor& host) const {
  // From pinned memory, so that nobody waits for the copy.
  return device_.is_cpu() ? host : host.pin_memory().to(device_, true);
}

/// source_places of sample_warp.h as sums of products of a function of the row and one of the column.
DeviceSampler::Bend DeviceSampler::bend_of(const SampleWarp& warp) const {
  static_assert(kBasis == 5);
  const double cosine = std::cos(warp.angle) / warp.scale, sine = std::sin(warp.angle) / warp.scale;
  const double middle = static_cast<double>(side_ - 1) / 2;
  Bend bend;
  for (std::size_t i = 0; i < kWarpNodes; ++i) {
    for (std::size_t j = 0; j < kWarpNodes; ++j) {
      const Place& node = warp.nodes[i * kWarpNodes + j];
      bend.y[i][j] = node.y;
      bend.x[i][j] = node.x;
    }
  }
  constexpr std::size_t kFromMiddle = kWarpNodes, kOne = kFromMiddle + 1;
  bend.y[kFromMiddle][kOne] = cosine;
  bend.y[kOne][kFromMiddle] = sine;
  bend.y[kOne][kOne] = middle + warp.shift.y;
  bend.x[kFromMiddle][kOne] = -sine;
  bend.x[kOne][kFromMiddle] = cosine;
  bend.x[kOne][kOne] = middle + warp.shift.x;
  return bend;
}

/// Where the sample's pixels come from, relative to its first input pixel, (2, side, side): seen through the
/// symmetry.
at::Tensor DeviceSampler::places(const SampleDraw& draw, const Symmetry& symmetry) const {
  Bend bend = bend_of(draw.warp);
  const at::Tensor factors = at::from_blob(&bend, {2, kBasis, kBasis}, at::kDouble).clone();
  const Turn turn(symmetry);
  const at::Tensor &down = turn.y_back ? basis_back_ : basis_, &across = turn.x_back ? basis_back_ : basis_;
  if (turn.swapped) return at::matmul(at::matmul(across, to_device(factors).transpose(1, 2)), down.t());
  return at::matmul(at::matmul(down, to_device(factors)), across.t());
}

/// Bicubic, in strips; `planes` (channels, side, side) float32.
void DeviceSampler::interpolate(const SampleDraw& draw, const at::Tensor& places, at::Tensor& planes) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  const std::int64_t context = data.options().context, sections = 2 * context + 1;
  const std::int64_t lost = (side_ - output_) / 2, width = volume.raw.size(3);
  const Index3 held = volume.raw_grid.box.begin;
  const Index3 first = draw.at - Index3{0, lost, lost} - held;
  const std::int64_t strip = std::max<std::int64_t>(1, kStrip / side_);
  for (std::int64_t row = 0; row < side_; row += strip) {
    const std::int64_t rows = std::min(strip, side_ - row);
    const at::Tensor here = places.narrow(1, row, rows), whole = here.floor();
    const at::Tensor t = (here - whole).to(at::kFloat);
    // (4, 2, rows, side): of the four neighbours along y and x.
    at::Tensor weights = at::addcmul(cubic_[1], cubic_[0], t);
    for (std::size_t power = 2; power < cubic_.size(); ++power)
      weights = at::addcmul(cubic_[power], weights, t);
    const at::Tensor down = weights.select(1, 0).unsqueeze(1), across = weights.select(1, 1).unsqueeze(0);
    at::Tensor index;  // (4, 4, rows, side)
    const auto look_up = [&](std::int64_t y, std::int64_t x) {
      at::Tensor pixels = whole.to(at::kLong);
      pixels.select(0, 0).add_(first.y + y);
      pixels.select(0, 1).add_(first.x + x);
      pixels = mirrored(taps_ + pixels, volume.raw_grid.last, volume.raw_grid.period);
      index = at::add(pixels.select(1, 1).unsqueeze(0), pixels.select(1, 0).unsqueeze(1), width);
    };
    for (std::int64_t c = 0; c < channels_; ++c) {
      const auto& shifts = draw.warp.section_shifts;
      if (!shifts.empty()) {
        look_up(shifts[static_cast<std::size_t>(c % sections)][0],
                shifts[static_cast<std::size_t>(c % sections)][1]);
      } else if (!index.defined()) {
        look_up(0, 0);
      }
      const std::int64_t z =
          mirror_index(draw.at.z - context + c % sections, data.raw_info().shape.z) - held.z;
      const at::Tensor values = volume.raw.select(0, c / sections).select(0, z).take(index);
      at::Tensor result = planes.select(0, c).narrow(0, row, rows);
      at::sum_out(result, (values * across).sum(1).mul_(down.squeeze(1)), {0});
    }
  }
}

/// (channels, side, side) float32, normalised, with contrast and brightness not yet changed.
at::Tensor DeviceSampler::cut_input(const SampleDraw& draw, const Symmetry& symmetry,
                                    const at::Tensor& places) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  at::Tensor planes = at::empty({channels_, side_, side_}, basis_.options().dtype(at::kFloat));
  if (!draw.warp.is_identity()) {
    interpolate(draw, places, planes);
  } else {
    const std::int64_t context = data.options().context, sections = 2 * context + 1;
    const std::int64_t lost = (side_ - output_) / 2;
    const Index3 held = volume.raw_grid.box.begin, first = draw.at - Index3{0, lost, lost} - held;
    const Turn turn(symmetry);
    const auto line = [&](std::int64_t begin, bool back, std::int64_t axis) {
      at::Tensor pixels = at::arange(begin, begin + side_, volume.raw_grid.last.options());
      if (back) pixels = pixels.flip({0});
      return mirrored(pixels, volume.raw_grid.last.select(0, axis).squeeze(1),
                      volume.raw_grid.period.select(0, axis).squeeze(1));
    };
    const at::Tensor rows = line(first.y, turn.y_back, 0), columns = line(first.x, turn.x_back, 1);
    for (std::int64_t c = 0; c < channels_; ++c) {
      const std::int64_t z =
          mirror_index(draw.at.z - context + c % sections, data.raw_info().shape.z) - held.z;
      const at::Tensor plane = volume.raw.select(0, c / sections).select(0, z);
      const at::Tensor cut = plane.index_select(0, rows).index_select(1, columns);
      planes.select(0, c).copy_(turn.swapped ? cut.t() : cut);
    }
  }
  const Normalisation& normalisation = source_.normalisation_of(draw.volume);
  return planes.sub_(static_cast<float>(normalisation.mean) - volume.centre)
      .mul_(static_cast<float>(1 / normalisation.std));
}

void DeviceSampler::add_noise(const SampleChanges& changes, at::Tensor& planes) const {
  const at::Tensor bits = mixed_bits(noise_steps_ + static_cast<std::int64_t>(changes.noise_stream.state()));
  const at::Tensor uniform = shifted_right(bits, 11).to(at::kDouble).mul_(0x1.0p-53);
  const at::Tensor radius = uniform.select(0, 0).neg().add_(1).to(at::kFloat).log_().mul_(-2).sqrt_();
  const at::Tensor cosine = uniform.select(0, 1).mul(2 * std::numbers::pi).to(at::kFloat).cos_();
  planes.view(-1).addcmul_(radius, cosine, changes.noise);
}

void DeviceSampler::change_greys(const SampleRecipe& recipe, at::Tensor& planes) const {
  const SampleChanges& changes = recipe.changes;
  const std::int64_t sections = 2 * source_.data().volume(recipe.draw.volume).options().context + 1;
  const auto change_sections = [&](const std::vector<std::uint8_t>& which, const auto& change) {
    if (which.empty()) return;
    for (std::int64_t c = 0; c < channels_; ++c) {
      at::Tensor plane = planes.select(0, c);
      if (which[static_cast<std::size_t>(c % sections)] != 0) change(plane);
    }
  };
  if (changes.factor != 1) planes.mul_(changes.factor);
  if (changes.offset != 0) planes.add_(changes.offset);
  if (changes.gamma > 0) {
    const at::Tensor low = planes.min(), range = planes.max() - low;
    // A blank sample stays: 0 to the power, times the range 0.
    planes.sub_(low).div_(at::where(range > 0, range, at::ones_like(range)));
    planes.pow_(changes.gamma).mul_(range).add_(low);
  }
  if (changes.blur > 0) {
    const std::vector<float> matrix = blur_matrix(changes.blur, side_);
    const at::Tensor blur = to_device(at::tensor(matrix, at::kFloat).view({side_, side_}));
    planes = at::matmul(at::matmul(blur, planes), blur.t());
  }
  change_sections(changes.low_contrast, [](at::Tensor& plane) {
    const at::Tensor mean = plane.mean(at::kDouble).to(at::kFloat);
    plane.sub_(mean).mul_(kLowContrast).add_(mean);
  });
  if (changes.noise > 0) add_noise(changes, planes);
  const Normalisation& normalisation = source_.normalisation_of(recipe.draw.volume);
  const auto black = static_cast<float>(-normalisation.mean / normalisation.std);
  change_sections(changes.missing, [&](at::Tensor& plane) { plane.fill_(black); });
}

/// `classes` (output, output) int64 and `weights` float32 are written.
void DeviceSampler::cut_answer(const SampleDraw& draw, const at::Tensor& places, const at::Tensor& classes,
                               at::Tensor weights) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  const std::int64_t lost = (side_ - output_) / 2;
  const Index3 first = draw.at - Index3{0, lost, lost} - volume.label_grid.box.begin;
  at::Tensor pixels =
      places.narrow(1, lost, output_).narrow(2, lost, output_).add(0.5).floor_().to(at::kLong);
  pixels.select(0, 0).add_(first.y);
  pixels.select(0, 1).add_(first.x);
  at::Tensor known = mirrored(pixels, volume.label_grid.last, volume.label_grid.period);
  const at::Tensor index = at::add(known.select(0, 1), known.select(0, 0), volume.classes.size(2));
  classes.copy_(volume.classes.select(0, first.z).take(index));
  // Beyond a region nothing is known, though it could be mirrored.
  if (data.options().region) classes.masked_fill_(pixels.ne(known).any(0), kIgnoredClass);
  at::take_out(weights, class_weights_, classes);
  if (volume.border.defined()) {
    weights.addcmul_(volume.border.select(0, first.z).take(index), classes.ne(kIgnoredClass));
  }
}

at::Tensor DeviceSampler::bent_input(const SampleDraw& draw, const Symmetry& symmetry) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  const Normalisation& normalisation = source_.normalisation_of(draw.volume);
  const std::int64_t context = data.options().context, sections = 2 * context + 1,
                     lost = (side_ - output_) / 2;
  const Index3 held = volume.raw_grid.box.begin, shape = volume.raw_grid.box.shape();
  const Turn turn(symmetry);
  const at::Tensor planes = at::empty({channels_, side_, side_}, basis_.options().dtype(at::kFloat));
  for (std::int64_t c = 0; c < channels_; ++c) {
    const auto& shifts = draw.warp.section_shifts;
    std::array<std::int64_t, 2> shift{0, 0};
    if (!shifts.empty()) shift = shifts[static_cast<std::size_t>(c % sections)];
    const std::int64_t z = mirror_index(draw.at.z - context + c % sections, data.raw_info().shape.z) - held.z;
    const void* const plane = volume.raw.select(0, c / sections).select(0, z).data_ptr();
    const bool bytes = volume.raw.scalar_type() == at::kByte;
    start_kernel(
        launch_, {.name = "tessera_bend_input", .blocks_x = blocks_for(side_ * side_)},
        bytes ? plane : nullptr, bytes ? nullptr : plane,
        held_pixels(shape, draw.at.y - lost - held.y + shift[0], draw.at.x - lost - held.x + shift[1]),
        (turn.y_back ? basis_back_ : basis_).data_ptr(), (turn.x_back ? basis_back_ : basis_).data_ptr(),
        bend_of(draw.warp), static_cast<int>(turn.swapped), static_cast<int>(side_),
        static_cast<float>(normalisation.mean) - volume.centre, static_cast<float>(1 / normalisation.std),
        planes.select(0, c).data_ptr());
  }
  return planes;
}

void DeviceSampler::bend_answer(const SampleDraw& draw, const Symmetry& symmetry, const at::Tensor& classes,
                                const at::Tensor& weights) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  const std::int64_t lost = (side_ - output_) / 2;
  const Index3 first = draw.at - Index3{0, lost, lost} - volume.label_grid.box.begin,
               shape = volume.label_grid.box.shape();
  const Turn turn(symmetry);
  start_kernel(launch_, {.name = "tessera_bend_targets", .blocks_x = blocks_for(output_ * output_)},
               volume.classes.select(0, first.z).data_ptr(),
               volume.border.defined() ? volume.border.select(0, first.z).data_ptr() : nullptr,
               class_weights_.data_ptr(), held_pixels(shape, first.y, first.x),
               (turn.y_back ? basis_back_ : basis_).data_ptr(),
               (turn.x_back ? basis_back_ : basis_).data_ptr(), bend_of(draw.warp),
               static_cast<int>(turn.swapped), static_cast<int>(output_), static_cast<int>(lost),
               static_cast<int>(data.options().region.has_value()), static_cast<int>(kIgnoredClass),
               classes.data_ptr(), weights.data_ptr());
}

bool DeviceSampler::has_kernels(const SampleRecipe& recipe) {
  if (!launch_ || launched_) return static_cast<bool>(launch_);
  try {
    bent_input(recipe.draw, recipe.changes.symmetry);
    launched_ = true;
  } catch (const c10::Error& error) {  // why, the launcher has said
    if (says_out_of_memory(error)) throw;
    launch_ = {};
  }
  return launched_;
}

SampleTensors DeviceSampler::make(std::span<const SampleRecipe> recipes) {
  const at::NoGradGuard no_grad;
  const at::OptionalDeviceGuard on_device(device_);
  const auto count = static_cast<std::int64_t>(recipes.size());
  const auto options = basis_.options().dtype(at::kFloat);
  SampleTensors made;
  made.input = at::empty({count, channels_, side_, side_}, options, at::MemoryFormat::ChannelsLast);
  made.classes = at::empty({count, output_, output_}, options.dtype(at::kLong));
  made.weights = at::empty({count, output_, output_}, options);
  for (std::int64_t i = 0; i < count; ++i) {
    const SampleRecipe& recipe = recipes[static_cast<std::size_t>(i)];
    const at::Tensor classes = made.classes.select(0, i), weights = made.weights.select(0, i);
    at::Tensor planes;
    if (has_kernels(recipe)) {
      planes = bent_input(recipe.draw, recipe.changes.symmetry);
      bend_answer(recipe.draw, recipe.changes.symmetry, classes, weights);
    } else {
      const at::Tensor from = places(recipe.draw, recipe.changes.symmetry);
      planes = cut_input(recipe.draw, recipe.changes.symmetry, from);
      cut_answer(recipe.draw, from, classes, weights);
    }
    change_greys(recipe, planes);
    made.input.select(0, i).copy_(planes);
  }
  return made;
}

}  // namespace tessera
