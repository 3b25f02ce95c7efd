#include "io/volume/dataset_name.h"

#include <fmt/format.h>

#include "io/base/error.h"
#include "io/base/other_format.h"

namespace tessera {

DatasetName parse_dataset_name(std::string_view text) {
  const auto colon = text.rfind(":/");
  if (colon == std::string_view::npos || colon == 0 || colon + 2 >= text.size()) {
    if (const std::string other = other_format(std::filesystem::path(text)); !other.empty())
      throw UsageError(fmt::format("'{}' is {}", text, other));
    throw UsageError(fmt::format(
        "'{}' does not name a dataset: write file.h5:/path/in/file, for example em.h5:/volumes/raw", text));
  }
  return {std::filesystem::path(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

}  // namespace tessera
