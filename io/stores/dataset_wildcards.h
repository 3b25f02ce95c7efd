#pragma once

#include <string>
#include <vector>

#include "io/volume/dataset_name.h"

namespace tessera {

/// The shell wildcards of a text, as they are written: `*` (any text without '/'), `?` (one character but
/// '/'), `[a-f]`, `[!a-f]`, `[[:digit:]]` (one character of a set; POSIX). A backslash takes the meaning from
/// the character after it. Empty for a plain text.
std::vector<std::string> wildcards_of(const std::string& text);

/// Those of the file's name, then those of the path inside.
std::vector<std::string> wildcards_of(const DatasetName& name);

/// A dataset that a name with wildcards stands for.
struct WildcardMatch {
  DatasetName name;
  std::vector<std::string> texts;  ///< what each wildcard stands for, in order
};

/// The datasets whose file and whole path match, sorted by file and path. Files are matched as POSIX glob
/// does it: a name that begins with '.' only by a '.'; folders are left out. Inside files links are followed
/// and groups left out. A file, or a dataset of its file, that is really called so is meant by the name, and
/// a part without wildcards (file or path) is taken as it is, unseen. Errors: Error when a file or folder
/// that must be looked into cannot be read, or nothing matches.
std::vector<WildcardMatch> find_datasets(const DatasetName& pattern);

/// `pattern` with its wildcards, as many as there are `texts`, replaced by them; as it is where there are
/// none.
DatasetName filled_in(const DatasetName& pattern, const std::vector<std::string>& texts);

}  // namespace tessera
