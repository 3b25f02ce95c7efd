#pragma once

#include <string>
#include <vector>

#include "io/volume/dataset_name.h"

namespace tessera {

/// The wildcards of a text (see WildcardPattern), in order; empty when it has none.
std::vector<std::string> wildcards_of(const std::string& text);

/// The wildcards of the file's name, then those of the path in the file.
std::vector<std::string> wildcards_of(const DatasetName& name);

/// A dataset that matches a name with wildcards.
struct WildcardMatch {
  DatasetName name;
  std::vector<std::string> texts;  ///< the text that each wildcard stands for, in order
};

/// The datasets whose file and whole path match, sorted by file and path.
/// Files match as in POSIX glob: a name that begins with '.' needs a '.' in the pattern; folders do not
/// match. Inside a file, links are followed, and groups do not match. A file or dataset whose literal name is
/// the pattern is the only match. A file or path without wildcards is returned without a check that it
/// exists. Errors: Error when a file or folder that must be searched cannot be read, or nothing matches.
std::vector<WildcardMatch> find_datasets(const DatasetName& pattern);

/// `pattern` with its wildcards replaced by `texts`, one for each; `pattern` itself when `texts` is empty.
DatasetName filled_in(const DatasetName& pattern, const std::vector<std::string>& texts);

}  // namespace tessera
