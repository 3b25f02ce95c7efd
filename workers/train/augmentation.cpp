#include "workers/train/augmentation.h"

namespace tessera {

void augment(Sample& sample, const AugmentationOptions& options, RandomStream& random) {
  Symmetry symmetry;
  symmetry.quarter_turns = options.rotate ? static_cast<int>(random.integer(0, 3)) : 0;
  symmetry.mirrored = options.mirror && random.integer(0, 1) == 1;
  std::vector<float> scratch;
  for (std::int64_t c = 0; c < sample.channels; ++c) {
    apply_symmetry(symmetry, sample.input_side, sample.input.data() + c * sample.input_side * sample.input_side, scratch);
  }
  std::vector<std::uint8_t> class_scratch;
  apply_symmetry(symmetry, sample.output_side, sample.classes.data(), class_scratch);

  const auto factor = static_cast<float>(1 + random.uniform(-options.contrast, options.contrast));
  const auto offset = static_cast<float>(random.uniform(-options.brightness, options.brightness));
  const auto noise = static_cast<float>(options.noise);
  for (float& value : sample.input) {
    value = value * factor + offset;
    if (noise > 0) value += noise * static_cast<float>(random.normal());
  }
}

}  // namespace tessera
