#include "pipeline/config/component_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tessera {

void read_components(ConfigSection& segment, SegmentConfig& s) {
  s.connectivity = segment.get<std::int64_t>(
      {"connectivity",
       "Neighbours of a voxel, with method: components. In 3-D 6 by faces, 18 also by edges, 26 also by "
       "corners. Within each "
       "section 4 by edges, 8 also by corners.",
       {.example = "26", .form = "4, 8, 6, 18 or 26", .related = "segment.method segment.fill_holes"}},
      6, between(4, 26));
  constexpr std::array<std::int64_t, 5> kKnown{4, 8, 6, 18, 26};
  if (std::ranges::find(kKnown, s.connectivity) == kKnown.end()) {
    segment.problem("connectivity",
                    fmt::format("is {}; it must be 6, 18 or 26, or within sections 4 or 8", s.connectivity));
  }
  s.of_labels = segment.choice({"components_of",
                                "With method: components. probability: of voxels of at least `threshold`. "
                                "labels: of voxels of equal labels; 0 is background.",
                                {.example = "labels", .related = "segment.method segment.threshold"}},
                               "probability", {"probability", "labels"}) == "labels";
  s.fill_holes = segment.get<bool>({"fill_holes",
                                    "With method: components and connectivity 4 or 8. Whether background "
                                    "that is enclosed within a section becomes foreground. "
                                    "Blocks then hold whole sections.",
                                    {.example = "true", .related = "segment.connectivity segment.block"}},
                                   false);
  if (!s.fill_holes) return;
  if (s.method != SegmentMethod::components || s.of_labels)
    segment.problem("fill_holes", "goes with method: components and components_of: probability");
  else if (s.connectivity != 4 && s.connectivity != 8)
    segment.problem("fill_holes", "is done within sections: set connectivity to 4 or 8");
}

}  // namespace tessera
