#pragma once

#include <string>
#include <vector>

#include "io/dataset_name.h"

namespace tessera {

/// The shell wildcards in a path inside a file, as they are written: `*` (any text without '/'), `?` (one
/// character but '/'), `[a-f]`, `[!a-f]`, `[[:digit:]]` (one character of a set; POSIX). A backslash takes
/// the meaning from the character after it. Empty for a plain path.
std::vector<std::string> wildcards_of(const std::string& path);

/// A dataset that a path with wildcards names.
struct WildcardMatch {
  DatasetName name;
  std::vector<std::string> texts;  ///< what each wildcard stands for, in order
};

/// The datasets of the pattern's file whose whole path matches, sorted by path; links are followed, groups
/// left out. A dataset that is really called so, and a path without wildcards, are given back as they are,
/// unseen. Errors: Error when the file cannot be read or nothing matches.
std::vector<WildcardMatch> find_datasets(const DatasetName& pattern);

/// `pattern` with its wildcards, as many as there are `texts`, replaced by them.
DatasetName filled_in(const DatasetName& pattern, const std::vector<std::string>& texts);

}  // namespace tessera
