#include "io/dataset_wildcards.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cassert>
#include <span>

#include "io/error.h"
#include "io/hdf5_handle.h"

namespace tessera {
namespace {

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

class Search {
 public:
  Search(const DatasetName& pattern, hid_t file) : file_name_(pattern.file), file_(file) {
    for (std::size_t begin = 1; begin <= pattern.path.size();) {
      const std::size_t end = std::min(pattern.path.find('/', begin), pattern.path.size());
      if (end > begin) parts_.push_back(tokens_of(pattern.path.substr(begin, end - begin)));
      begin = end + 1;
    }
  }

  std::vector<WildcardMatch> run() {
    descend("", 0, {});
    std::sort(found_.begin(), found_.end(),
              [](const auto& a, const auto& b) { return a.name.path < b.name.path; });
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
    if (std::none_of(part.begin(), part.end(), [](const Token& one) { return one.is_wildcard; })) {
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

}  // namespace

std::vector<std::string> wildcards_of(const std::string& path) {
  std::vector<std::string> found;
  for (const Token& one : tokens_of(path)) {
    if (one.is_wildcard) found.push_back(one.text);
  }
  return found;
}

std::vector<WildcardMatch> find_datasets(const DatasetName& pattern) {
  if (wildcards_of(pattern.path).empty()) return {{pattern, {}}};
  const Hdf5Handle file = open_hdf5_file(pattern.file);
  if (hdf5_path_exists(file.get(), pattern.path)) return {{pattern, wildcards_of(pattern.path)}};
  std::vector<WildcardMatch> found = Search(pattern, file.get()).run();
  if (found.empty()) {
    throw Error(fmt::format("{} has no dataset that matches {}: 'tessera info {}' lists what it holds",
                            pattern.file.string(), pattern.path, pattern.file.string()));
  }
  return found;
}

DatasetName filled_in(const DatasetName& pattern, const std::vector<std::string>& texts) {
  std::string path;
  std::size_t next = 0;
  for (const Token& one : tokens_of(pattern.path)) {
    assert(!one.is_wildcard || next < texts.size());
    path += one.is_wildcard ? texts[next++] : one.text;
  }
  return {pattern.file, path};
}

}  // namespace tessera
