#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// The dimensions of a file of planes, as the description in it says: channels, sections and time points.
struct StackDimensions {
  std::string source;  ///< who wrote the description: "ImageJ", "OME", "tifffile", ...; empty: no description
  std::int64_t channels = 1, sections = 1, times = 1;
  /// The dimension that changes fastest from plane to plane, then the next ones: 'c', 'z' or 't'.
  std::array<char, 3> order{'c', 'z', 't'};
  /// The page of each plane in that order; empty: page n holds plane n.
  std::vector<std::int64_t> pages;
  std::string note;  ///< what else the description says of the samples and is not applied; empty: nothing

  std::int64_t planes() const { return channels * sections * times; }
  /// The number of a plane in the file's order.
  std::int64_t plane(std::int64_t channel, std::int64_t section, std::int64_t time) const;
};

/// The dimensions in a page's description, by its form:
/// - ImageJ: images, channels, slices, frames, order.
/// - tifffile: JSON with shape and axes. Of leading dimensions without axes, the last one is the sections,
///   the one before it the channels, the one before that the time.
/// - OME-XML: see ome_dimensions().
/// None: the description says nothing of dimensions. `page_samples`: height * width * samples * depth of one
/// page. `file_name`: of the file itself, which OME-XML may name.
/// Errors: Error that begins with `what` when the description contradicts itself or cannot be honoured.
std::optional<StackDimensions> described_dimensions(std::string_view description, std::int64_t page_samples,
                                                    std::int64_t samples_per_pixel,
                                                    const std::string& file_name, const std::string& what);

/// The dimensions of an OME-XML description: SizeC, SizeZ, SizeT, DimensionOrder, and the pages by TiffData.
/// Errors: Error that begins with `what` for several images, for planes in other files, and for XML that
/// lacks these.
StackDimensions ome_dimensions(std::string_view xml, std::int64_t samples_per_pixel,
                               const std::string& file_name, const std::string& what);

}  // namespace tessera
