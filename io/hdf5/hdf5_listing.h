#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/base/enum_names.h"
#include "io/hdf5/volume_reader.h"

namespace tessera {

/// One dataset of an HDF5 file, or one link that is not a hard link.
struct Hdf5Entry {
  enum class Kind { dataset, external_link, soft_link, broken };

  std::string path;  ///< absolute inside the file
  Kind kind = Kind::dataset;
  std::string target;                ///< of a link: "file:/path" or "/path"
  std::string type;                  ///< as stored: "uint16", "int32, big-endian", "string", "compound", ...
  std::vector<std::int64_t> shape;   ///< empty for a scalar
  std::int64_t stored_bytes = 0;     ///< size of its values in the file
  std::optional<VolumeInfo> volume;  ///< none when it cannot be read as a volume
  std::string problem;               ///< why it is not a volume, cannot be opened, or leads nowhere
};
constexpr auto enum_names(Hdf5Entry::Kind) {
  return std::to_array<EnumName<Hdf5Entry::Kind>>({{Hdf5Entry::Kind::dataset, "dataset"},
                                                   {Hdf5Entry::Kind::external_link, "external link"},
                                                   {Hdf5Entry::Kind::soft_link, "soft link"},
                                                   {Hdf5Entry::Kind::broken, "broken"}});
}

struct Hdf5Listing {
  std::map<std::string, std::string> attributes;  ///< the string attributes of the file's root
  std::vector<Hdf5Entry> entries;                 ///< sorted by path
};

/// Every dataset and link of a file. What links lead to is not listed, and a dangling one is not an error. A
/// dataset that cannot be read as a volume is not an error either. Errors: Error when the file cannot be
/// opened or listed.
Hdf5Listing list_hdf5_file(const std::filesystem::path& file);

}  // namespace tessera
