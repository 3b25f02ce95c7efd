#include "io/stores/dataset_wildcards.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cassert>
#include <filesystem>
#include <span>
#include <utility>

#include "io/base/error.h"
#include "io/hdf5/hdf5_handle.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// One character of a pattern, or one wildcard.
struct Token {
  bool is_wildcard = false;
  std::string text;
};

/// Where the bracket expression that begins at `at` ends (one past its ']'); `at` when it is none.
std::size_t bracket_end(const std::string& pattern, std::size_t at) {
  std::size_t i = at + 1;
  if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) ++i;
  for (const std::size_t first = i; i < pattern.size() && pattern[i] != '/'; ++i) {
    if (pattern[i] == ']' && i > first) return i + 1;  // the first one stands for itself
    if (pattern[i] == '[' && i + 1 < pattern.size() &&
        std::string(":.=").find(pattern[i + 1]) != std::string::npos) {
      const std::size_t end = pattern.find(std::string{pattern[i + 1], ']'}, i + 2);
      if (end != std::string::npos) i = end + 1;
    }
  }
  return at;
}

std::vector<Token> tokens_of(const std::string& pattern) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const std::size_t end = c == '[' ? bracket_end(pattern, i) : i;
    if (c == '\\' && i + 1 < pattern.size()) {
      tokens.push_back({false, std::string(1, pattern[++i])});
    } else if (end != i) {
      tokens.push_back({true, pattern.substr(i, end - i)});
      i = end - 1;
    } else {
      tokens.push_back({c == '*' || c == '?', std::string(1, c)});
    }
  }
  return tokens;
}

bool has_wildcard(const std::vector<Token>& tokens) {
  return std::any_of(tokens.begin(), tokens.end(), [](const Token& one) { return one.is_wildcard; });
}

/// The tokens of each name between '/'.
std::vector<std::vector<Token>> parts_of(const std::string& path) {
  std::vector<std::vector<Token>> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.push_back(tokens_of(path.substr(begin, end - begin)));
    begin = end + 1;
  }
  return parts;
}

/// `pattern` with its wildcards replaced by the texts from `next` on, which moves behind them.
std::string fill(const std::string& pattern, const std::vector<std::string>& texts, std::size_t& next) {
  const std::vector<Token> tokens = tokens_of(pattern);
  if (!has_wildcard(tokens)) return pattern;
  std::string text;
  for (const Token& one : tokens) {
    assert(!one.is_wildcard || next < texts.size());
    text += one.is_wildcard ? texts[next++] : one.text;
  }
  return text;
}

/// Whether `text`, without '/', matches; `texts` gets what the wildcards stand for, `*` as little as
/// possible.
bool matches(std::span<const Token> tokens, const std::string& text, std::size_t at,
             std::vector<std::string>& texts) {
  if (tokens.empty()) return at == text.size();
  const Token& token = tokens.front();
  const auto rest = tokens.subspan(1);
  if (token.is_wildcard && token.text == "*") {
    for (std::size_t end = at; end <= text.size(); ++end) {
      texts.push_back(text.substr(at, end - at));
      if (matches(rest, text, end, texts)) return true;
      texts.pop_back();
    }
    return false;
  }
  if (at == text.size()) return false;
  const std::string one(1, text[at]);
  if (!token.is_wildcard) return token.text == one && matches(rest, text, at + 1, texts);
  if (fnmatch(token.text.c_str(), one.c_str(), 0) != 0) return false;
  texts.push_back(one);
  if (matches(rest, text, at + 1, texts)) return true;
  texts.pop_back();
  return false;
}

/// Called by the library for every link: it must not throw through it.
herr_t note_name(hid_t, const char* name, const H5L_info_t*, void* out) noexcept {
  try {
    static_cast<std::vector<std::string>*>(out)->push_back(name);
    return 0;
  } catch (...) {
    return -1;
  }
}

H5I_type_t type_of(hid_t file, const std::string& path) {
  const Hdf5Handle object(H5Oopen(file, path.c_str(), H5P_DEFAULT), H5Oclose);
  const H5I_type_t type = object ? H5Iget_type(object.get()) : H5I_BADID;
  H5Eclear2(H5E_DEFAULT);
  return type;
}

std::vector<std::string> names_in(hid_t file, const DatasetName& group) {
  std::vector<std::string> names;
  const Hdf5Handle opened(
      check_hdf5(H5Gopen2(file, group.path.c_str(), H5P_DEFAULT), "cannot open " + group.text()), H5Gclose);
  check_hdf5(H5Literate(opened.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, note_name, &names),
             "cannot list what is in " + group.text());
  return names;
}

/// The datasets of one file.
class DatasetSearch {
 public:
  DatasetSearch(const DatasetName& pattern, hid_t file)
      : file_name_(pattern.file), file_(file), parts_(parts_of(pattern.path)) {}

  std::vector<WildcardMatch> run() {
    descend("", 0, {});
    return std::move(found_);
  }

 private:
  void descend(const std::string& group, std::size_t depth, const std::vector<std::string>& texts) {
    if (depth == parts_.size()) {
      if (type_of(file_, group) == H5I_DATASET) found_.push_back({{file_name_, group}, texts});
      return;
    }
    const std::string here = group.empty() ? "/" : group;
    if (depth > 0 && type_of(file_, here) != H5I_GROUP) return;
    const std::vector<Token>& part = parts_[depth];
    if (!has_wildcard(part)) {
      std::string name;
      for (const Token& one : part)
        name += one.text;
      if (hdf5_path_exists(file_, group + "/" + name)) descend(group + "/" + name, depth + 1, texts);
      return;
    }
    for (const std::string& name : names_in(file_, {file_name_, here})) {
      std::vector<std::string> more = texts;
      if (matches(part, name, 0, more)) descend(group + "/" + name, depth + 1, more);
    }
  }

  std::filesystem::path file_name_;
  hid_t file_;
  std::vector<std::vector<Token>> parts_;
  std::vector<WildcardMatch> found_;
};

/// A file, and what the wildcards of its name stand for.
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
    const std::vector<Token>& part = parts_[depth];
    if (!has_wildcard(part)) {
      std::string name;
      for (const Token& one : part)
        name += one.text;
      enter(folder / name, depth, texts);
      return;
    }
    std::error_code error;
    fs::directory_iterator entries(folder.empty() ? "." : folder, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
      const std::string name = entries->path().filename().string();
      std::vector<std::string> more = texts;
      const bool is_hidden = name[0] == '.' && (part[0].is_wildcard || part[0].text != ".");
      if (!is_hidden && matches(part, name, 0, more)) enter(folder / name, depth, more);
    }
    if (error)
      throw Error(fmt::format("cannot list what is in {}: {}", folder.empty() ? "." : folder.string(),
                              error.message()));
  }

  void enter(const fs::path& path, std::size_t depth, const std::vector<std::string>& texts) {
    std::error_code error;
    const bool is_last = depth + 1 == parts_.size();
    if (is_last && fs::symlink_status(path, error).type() == fs::file_type::not_found) return;
    const bool is_folder = fs::is_directory(path, error);
    if (is_last && !is_folder) found_.push_back({path, texts});
    if (!is_last && is_folder) descend(path, depth + 1, texts);
  }

  std::vector<std::vector<Token>> parts_;
  std::vector<FileMatch> found_;
};

std::vector<FileMatch> find_files(const fs::path& pattern) {
  const std::vector<std::string> wildcards = wildcards_of(pattern.string());
  std::error_code error;
  if (wildcards.empty() || fs::exists(pattern, error)) return {{pattern, wildcards}};
  std::vector<FileMatch> found = FileSearch(pattern.string()).take();
  if (found.empty()) throw Error(fmt::format("no file matches {}", pattern.string()));
  return found;
}

/// The datasets of a file, which needs to have none.
std::vector<WildcardMatch> find_in_file(const FileMatch& in, const std::string& path) {
  const DatasetName pattern{in.file, path};
  const std::vector<std::string> wildcards = wildcards_of(path);
  std::vector<WildcardMatch> found;
  if (wildcards.empty()) {
    found = {{pattern, {}}};
  } else {
    const Hdf5Handle file = open_hdf5_file(pattern.file);
    found = hdf5_path_exists(file.get(), path) ? std::vector<WildcardMatch>{{pattern, wildcards}}
                                               : DatasetSearch(pattern, file.get()).run();
  }
  for (WildcardMatch& one : found)
    one.texts.insert(one.texts.begin(), in.texts.begin(), in.texts.end());
  return found;
}

}  // namespace

std::vector<std::string> wildcards_of(const std::string& text) {
  std::vector<std::string> found;
  for (const Token& one : tokens_of(text)) {
    if (one.is_wildcard) found.push_back(one.text);
  }
  return found;
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
