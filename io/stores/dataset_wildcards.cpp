#include "io/stores/dataset_wildcards.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/wildcard_pattern.h"
#include "io/stores/open_volume.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// The pattern of each name between '/'.
std::vector<WildcardPattern> parts_of(const std::string& path) {
  std::vector<WildcardPattern> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// Appends the texts of a match. Returns whether there was one.
bool append_texts(const std::optional<std::vector<std::string>>& match, std::vector<std::string>& texts) {
  if (match) texts.insert(texts.end(), match->begin(), match->end());
  return match.has_value();
}

/// `pattern` with its wildcards replaced by the texts from `next` on, which moves behind them. A pattern
/// without wildcards stays as it is, with its backslashes.
std::string fill(const std::string& pattern, const std::vector<std::string>& texts, std::size_t& next) {
  const WildcardPattern parsed(pattern);
  const std::size_t count = parsed.wildcards().size();
  if (count == 0) return pattern;
  assert(next + count <= texts.size());
  const auto used = std::span(texts).subspan(next, count);
  next += count;
  return parsed.filled(used);
}

/// Searches one file for matching datasets.
class DatasetSearch {
 public:
  DatasetSearch(const DatasetName& pattern, const DatasetTree& tree)
      : file_(pattern.file), tree_(tree), parts_(parts_of(pattern.path)) {}

  std::vector<WildcardMatch> run() {
    descend("", 0, {});
    return std::move(found_);
  }

 private:
  void descend(const std::string& group, std::size_t depth, const std::vector<std::string>& texts) {
    if (depth == parts_.size()) {
      if (tree_.kind_of(group) == DatasetTree::Kind::dataset) found_.push_back({{file_, group}, texts});
      return;
    }
    const std::string here = group.empty() ? "/" : group;
    if (depth > 0 && tree_.kind_of(here) != DatasetTree::Kind::group) return;
    const WildcardPattern& part = parts_[depth];
    if (!part.has_wildcards()) {
      const std::string path = group + "/" + part.filled({});
      if (tree_.kind_of(path) != DatasetTree::Kind::nothing) descend(path, depth + 1, texts);
      return;
    }
    for (const std::string& name : tree_.names_in(here)) {
      std::vector<std::string> more = texts;
      if (append_texts(part.match(name), more)) descend(fmt::format("{}/{}", group, name), depth + 1, more);
    }
  }

  fs::path file_;
  const DatasetTree& tree_;
  std::vector<WildcardPattern> parts_;
  std::vector<WildcardMatch> found_;
};

/// A file, and the texts that the wildcards of its name stand for.
struct FileMatch {
  fs::path file;
  std::vector<std::string> texts;
};

class FileSearch {
 public:
  explicit FileSearch(const std::string& pattern) : parts_(parts_of(pattern)) {
    descend(pattern[0] == '/' ? "/" : "", 0, {});
  }
  std::vector<FileMatch> take() { return std::move(found_); }

 private:
  void descend(const fs::path& folder, std::size_t depth, const std::vector<std::string>& texts) {
    const WildcardPattern& part = parts_[depth];
    if (!part.has_wildcards()) {
      enter(folder / part.filled({}), depth, texts);
      return;
    }
    for (const fs::path& entry : paths_in(folder.empty() ? "." : folder)) {
      const std::string name = entry.filename().string();
      std::vector<std::string> more = texts;
      const bool is_hidden = name[0] == '.' && !part.begins_with_dot();
      if (!is_hidden && append_texts(part.match(name), more)) enter(folder / name, depth, more);
    }
  }

  void enter(const fs::path& path, std::size_t depth, const std::vector<std::string>& texts) {
    const bool is_last = depth + 1 == parts_.size();
    if (is_last && fs::symlink_status(path).type() == fs::file_type::not_found) return;
    const bool leads_on = is_folder(path);
    if (is_last && !leads_on) found_.push_back({path, texts});
    if (!is_last && leads_on) descend(path, depth + 1, texts);
  }

  std::vector<WildcardPattern> parts_;
  std::vector<FileMatch> found_;
};

std::vector<FileMatch> find_files(const fs::path& pattern) {
  const std::vector<std::string> wildcards = wildcards_of(pattern.string());
  if (wildcards.empty() || file_exists(pattern)) return {{pattern, wildcards}};
  std::vector<FileMatch> found = FileSearch(pattern.string()).take();
  if (found.empty()) throw Error(fmt::format("no file matches {}", pattern.string()));
  return found;
}

/// The matching datasets of one file; may be empty.
std::vector<WildcardMatch> find_in_file(const FileMatch& in, const std::string& path) {
  const DatasetName pattern{in.file, path};
  const std::vector<std::string> wildcards = wildcards_of(path);
  std::vector<WildcardMatch> found;
  if (wildcards.empty()) {
    found = {{pattern, {}}};
  } else {
    const std::unique_ptr<DatasetTree> tree = open_dataset_tree(pattern.file);
    const bool is_name = tree->kind_of(path) != DatasetTree::Kind::nothing;
    found = is_name ? std::vector<WildcardMatch>{{pattern, wildcards}} : DatasetSearch(pattern, *tree).run();
  }
  for (WildcardMatch& one : found)
    one.texts.insert(one.texts.begin(), in.texts.begin(), in.texts.end());
  return found;
}

}  // namespace

std::vector<std::string> wildcards_of(const std::string& text) {
  return WildcardPattern(text).wildcards();
}

std::vector<std::string> wildcards_of(const DatasetName& name) {
  std::vector<std::string> found = wildcards_of(name.file.string());
  for (std::string& one : wildcards_of(name.path))
    found.push_back(std::move(one));
  return found;
}

std::vector<WildcardMatch> find_datasets(const DatasetName& pattern) {
  if (wildcards_of(pattern).empty()) return {{pattern, {}}};
  const std::vector<FileMatch> files = find_files(pattern.file);
  std::vector<WildcardMatch> found;
  for (const FileMatch& file : files) {
    for (WildcardMatch& one : find_in_file(file, pattern.path))
      found.push_back(std::move(one));
  }
  if (found.empty()) {
    const std::string first = files.front().file.string();
    throw Error(
        files.size() == 1
            ? fmt::format("{} has no dataset that matches {}: 'tessera info {}' lists what it holds", first,
                          pattern.path, first)
            : fmt::format(
                  "none of the {} files that match {} has a dataset that matches {}: 'tessera info {}' "
                  "lists what the first of them holds",
                  files.size(), pattern.file.string(), pattern.path, first));
  }
  std::sort(found.begin(), found.end(), [](const WildcardMatch& a, const WildcardMatch& b) {
    return std::pair(a.name.file.string(), a.name.path) < std::pair(b.name.file.string(), b.name.path);
  });
  return found;
}

DatasetName filled_in(const DatasetName& pattern, const std::vector<std::string>& texts) {
  if (texts.empty()) return pattern;
  std::size_t next = 0;
  const std::string file = fill(pattern.file.string(), texts, next);
  return {file, fill(pattern.path, texts, next)};
}

}  // namespace tessera
