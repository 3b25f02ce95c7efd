#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace tessera {

/// The name of a dataset in a file, written `file.h5:/path/in/file`.
struct DatasetName {
  std::filesystem::path file;
  std::string path;  ///< absolute inside the file, such as /volumes/raw

  std::string text() const { return file.string() + ":" + path; }
};

/// Parses `file.h5:/path/in/file`. Errors: UsageError that shows the form.
DatasetName parse_dataset_name(std::string_view text);

}  // namespace tessera
