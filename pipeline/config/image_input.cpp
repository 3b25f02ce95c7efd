#include "pipeline/config/image_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "io/base/error.h"
#include "io/base/sha256.h"
#include "io/images/section_files.h"
#include "pipeline/config/config_values.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// Digits of the name's hash: enough for the few images of an experiment.
constexpr std::size_t kHashDigits = 8;

fs::path without_slash(const std::string& text) {
  const fs::path path = fs::path(text).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

/// Letters, digits, '-' and '_' of a name; none of the wildcards.
std::string plain_stem(const fs::path& images) {
  constexpr std::size_t kLongest = 60;
  std::string stem = images.stem().string().substr(0, kLongest);
  for (char& c : stem) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-') c = '_';
  }
  return stem.empty() ? "images" : stem;
}

}  // namespace

DatasetName ImageInputs::dataset_of(const std::string& key, const std::string& images, bool labels) {
  if (images.find_first_of("*?") != std::string::npos) {
    throw UsageError(fmt::format(
        "wildcards stand for HDF5 files only: convert {} with 'tessera import', one after the other",
        images));
  }
  const fs::path path = without_slash(images);
  const char* kind = labels ? "labels" : "raw";
  const std::string hash = sha256_of(fmt::format("{} {}", kind, path.string())).substr(0, kHashDigits);
  const DatasetName dataset{folder / fmt::format("{}-{}.h5", plain_stem(path), hash),
                            labels ? "/volumes/labels/imported" : "/volumes/raw"};
  if (source_of(dataset) == nullptr) all.push_back({key, path, dataset});
  return dataset;
}

const ImageInput* ImageInputs::source_of(const DatasetName& dataset) const {
  const auto found =
      std::ranges::find_if(all, [&](const ImageInput& one) { return one.dataset.text() == dataset.text(); });
  return found == all.end() ? nullptr : &*found;
}

bool names_images(const std::string& text) {
  if (text.empty() || text.find(":/") != std::string::npos) return false;
  const fs::path path(text);
  return is_tiff_name(path) || is_png_name(path) || text.back() == '/' || !path.has_extension();
}

std::optional<DatasetName> volume_input(ConfigSection& section, Key key, bool labels, ImageInputs& images,
                                        bool required) {
  key.notes.form = "a dataset, FILE.h5:/path/in/file; or images: a TIFF stack, or a folder of sections";
  const auto text = required ? section.require<std::string>(key) : section.optional<std::string>(key);
  if (!text) return std::nullopt;
  try {
    if (names_images(*text)) return images.dataset_of(section.path() + "." + key.name, *text, labels);
    return parse_dataset_name(*text);
  } catch (const UsageError& error) {
    section.problem(key.name, error.what());
    return std::nullopt;
  }
}

}  // namespace tessera
