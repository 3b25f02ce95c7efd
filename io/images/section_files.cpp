#include "io/images/section_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/other_format.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::string lower_extension(const fs::path& file) {
  std::string text = file.extension().string();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// A name without its extension: the text with '#' for each run of digits, and the numbers.
struct NameParts {
  std::string text;
  std::vector<std::int64_t> numbers;
};

NameParts parts_of(const fs::path& file) {
  constexpr std::size_t kMostDigits = 18;
  const std::string name = file.stem().string();
  NameParts parts;
  for (std::size_t i = 0; i < name.size();) {
    std::size_t end = i;
    while (end < name.size() && is_digit(name[end]))
      ++end;
    if (end == i || end - i > kMostDigits) {
      end = std::max(end, i + 1);
      parts.text += name.substr(i, end - i);
    } else {
      parts.text += '#';
      parts.numbers.push_back(std::stoll(name.substr(i, end - i)));
    }
    i = end;
  }
  return parts;
}

/// Files whose names differ only in numbers, and the place of the number that counts the sections.
struct Series {
  std::vector<std::size_t> files;     ///< of the sorted list
  std::vector<std::int64_t> numbers;  ///< of each file
  std::int64_t step = 1;

  std::int64_t missing() const { return (numbers.back() - numbers.front()) / step + 1 - std::ssize(numbers); }
};

Series series_of(const std::vector<std::size_t>& files, const std::vector<NameParts>& parts,
                 std::size_t place) {
  Series series{files, {}, 0};
  for (const std::size_t file : files)
    series.numbers.push_back(parts[file].numbers[place]);
  for (std::size_t i = 1; i < series.numbers.size(); ++i)
    series.step = std::gcd(series.step, series.numbers[i] - series.numbers[i - 1]);
  if (series.step == 0) series.step = 1;
  return series;
}

bool counts_up(const Series& series) {
  return std::adjacent_find(series.numbers.begin(), series.numbers.end(), std::greater_equal<>()) ==
         series.numbers.end();
}

/// The number that counts up through all names and lacks the fewest values; none when no number counts up.
std::optional<Series> counted_series(const std::vector<std::size_t>& files,
                                     const std::vector<NameParts>& parts) {
  std::optional<Series> best;
  for (std::size_t place = 0; place < parts[files.front()].numbers.size(); ++place) {
    Series series = series_of(files, parts, place);
    if (counts_up(series) && (!best || series.missing() < best->missing())) best = std::move(series);
  }
  return best;
}

/// The series of all names: one for each text, and where several numbers vary (wafer and section), one for
/// each value of all numbers but the last.
std::vector<Series> all_series(const std::vector<NameParts>& parts) {
  std::map<std::string, std::vector<std::size_t>> by_text;
  for (std::size_t i = 0; i < parts.size(); ++i)
    by_text[parts[i].text].push_back(i);
  std::vector<Series> found;
  for (const auto& [text, files] : by_text) {
    if (parts[files.front()].numbers.empty()) continue;
    if (auto one = counted_series(files, parts)) {
      found.push_back(std::move(*one));
      continue;
    }
    std::map<std::vector<std::int64_t>, std::vector<std::size_t>> groups;
    for (const std::size_t file : files)
      groups[{parts[file].numbers.begin(), parts[file].numbers.end() - 1}].push_back(file);
    for (const auto& [head, group] : groups) {
      Series series = series_of(group, parts, head.size());
      if (counts_up(series)) found.push_back(std::move(series));
    }
  }
  return found;
}

std::string missing_text(const Series& series, const std::vector<fs::path>& files) {
  constexpr std::size_t kMost = 20;
  std::vector<std::string> gaps;
  for (std::size_t i = 1; i < series.numbers.size(); ++i) {
    const std::int64_t first = series.numbers[i - 1] + series.step, last = series.numbers[i] - series.step;
    if (first > last) continue;
    if (gaps.size() == kMost) {
      gaps.emplace_back("...");
      break;
    }
    gaps.push_back(fmt::format(
        "{} between {} and {}",
        first == last ? fmt::format("{}", first) : fmt::format("{} to {}", first, last),
        files[series.files[i - 1]].filename().string(), files[series.files[i]].filename().string()));
  }
  return fmt::format("{}", fmt::join(gaps, ", "));
}

void fill_gaps(SectionFiles& sections, const Series& series, MissingSections missing) {
  std::vector<fs::path> filled;
  for (std::size_t i = 0; i < series.numbers.size(); ++i) {
    if (i > 0) {
      const std::int64_t gap = (series.numbers[i] - series.numbers[i - 1]) / series.step - 1;
      filled.insert(filled.end(), static_cast<std::size_t>(gap),
                    missing == MissingSections::black ? fs::path() : sections.files[series.files[i - 1]]);
    }
    filled.push_back(sections.files[series.files[i]]);
  }
  sections.files = std::move(filled);
}

void find_gaps(SectionFiles& sections, const std::vector<NameParts>& parts, const fs::path& folder,
               MissingSections missing) {
  if (missing == MissingSections::skip) return;
  const std::vector<Series> all = all_series(parts);
  std::string text;
  std::int64_t count = 0;
  for (const Series& series : all) {
    if (series.missing() == 0) continue;
    text += (text.empty() ? "" : ", ") + missing_text(series, sections.files);
    count += series.missing();
  }
  if (count == 0) return;
  if (missing == MissingSections::ask) {
    throw UsageError(fmt::format(
        "{}: {} section(s) missing by the numbers in the names: {}. Pass --missing black or repeat "
        "to fill these places, or --missing skip to close up",
        folder.string(), count, text));
  }
  const bool is_one = all.size() == 1 && all.front().files.size() == sections.files.size();
  if (!is_one || count > 10 * std::ssize(sections.files)) {
    throw UsageError(
        fmt::format("--missing {}: in {} {}; pass --missing skip to read the files as they are",
                    name_of(missing), folder.string(),
                    is_one ? fmt::format("{} numbers are missing, many more than there are files", count)
                           : "the names have no single number that counts the sections"));
  }
  fill_gaps(sections, all.front(), missing);
}

/// Two series of names with the same numbers are two volumes: raw_0.png ... beside label_0.png ...
/// Errors: Error.
void require_one_series(const std::vector<fs::path>& files, const std::vector<NameParts>& parts,
                        const fs::path& folder) {
  std::map<std::string, std::vector<std::size_t>> by_text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].numbers.empty()) by_text[parts[i].text].push_back(i);
  }
  const auto name = [&](std::size_t file) { return files[file].filename().string(); };
  for (auto one = by_text.begin(); one != by_text.end(); ++one) {
    for (auto next = std::next(one); next != by_text.end(); ++next) {
      const auto &a = one->second, &b = next->second;
      std::set<std::vector<std::int64_t>> numbers;
      for (const std::size_t file : a)
        numbers.insert(parts[file].numbers);
      const auto shared = static_cast<std::size_t>(std::ranges::count_if(
          b, [&](std::size_t file) { return numbers.count(parts[file].numbers) != 0; }));
      if (shared < 2 || 2 * shared < std::min(a.size(), b.size())) continue;
      throw Error(
          fmt::format("{} holds two series of sections: {} to {} ({} files) and {} to {} ({} files). A "
                      "folder is one volume: "
                      "move one series to a folder of its own",
                      folder.string(), name(a.front()), name(a.back()), a.size(), name(b.front()),
                      name(b.back()), b.size()));
    }
  }
}

void require_different(const std::vector<fs::path>& files, const std::vector<NameParts>& parts) {
  for (std::size_t i = 1; i < files.size(); ++i) {
    if (parts[i].text != parts[i - 1].text || parts[i].numbers != parts[i - 1].numbers) continue;
    throw UsageError(fmt::format("{} and {} are the same section twice: leave one of them in the folder",
                                 files[i - 1].string(), files[i].filename().string()));
  }
}

void require_file(const fs::path& file) {
  std::error_code code;
  const fs::file_status status = fs::status(file, code);
  if (fs::is_regular_file(status)) return;
  if (fs::is_symlink(fs::symlink_status(file, code))) {
    throw Error(
        fmt::format("cannot read the section {}: it is a link to {}, {}", file.string(),
                    fs::read_symlink(file, code).string(),
                    fs::exists(status) ? "which is no file" : "which does not exist or cannot be reached"));
  }
  throw Error(fmt::format("cannot read the section {}: it is {}", file.string(),
                          fs::is_directory(status) ? "a folder" : "no regular file"));
}

}  // namespace

bool is_png_name(const fs::path& file) {
  return lower_extension(file) == ".png";
}

bool is_tiff_name(const fs::path& file) {
  const std::string extension = lower_extension(file);
  return extension == ".tif" || extension == ".tiff";
}

bool natural_less(std::string_view a, std::string_view b) {
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const auto number = [](std::string_view text, std::size_t& at) {
        while (at + 1 < text.size() && text[at] == '0' && is_digit(text[at + 1]))
          ++at;
        const std::size_t first = at;
        while (at < text.size() && is_digit(text[at]))
          ++at;
        return text.substr(first, at - first);
      };
      const std::string_view left = number(a, i), right = number(b, j);
      if (left.size() != right.size()) return left.size() < right.size();
      if (left != right) return left < right;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i;
      ++j;
    }
  }
  if (i < a.size() || j < b.size()) return j < b.size();
  return a < b;  // equal except for leading zeros
}

SectionFiles list_sections(const fs::path& folder, MissingSections missing) {
  SectionFiles sections;
  fs::path other;  // of a format that is not read
  for (const fs::path& file : paths_in(folder)) {
    if (file.filename().string().starts_with(".") || (!is_png_name(file) && !is_tiff_name(file))) {
      ++sections.ignored;
      if (other_format(file) > other_format(other)) other = file;
      continue;
    }
    require_file(file);
    sections.files.push_back(file);
  }
  if (sections.files.empty()) {
    throw Error(fmt::format(
        "the folder {} has no .png, .tif or .tiff file ({} others{})", folder.string(), sections.ignored,
        other.empty() ? "" : fmt::format("; {} is {}", other.filename().string(), other_format(other))));
  }
  std::sort(sections.files.begin(), sections.files.end(), [](const fs::path& a, const fs::path& b) {
    if (natural_less(a.stem().string(), b.stem().string())) return true;
    if (natural_less(b.stem().string(), a.stem().string())) return false;
    return a < b;
  });
  std::vector<NameParts> parts;
  for (const fs::path& file : sections.files)
    parts.push_back(parts_of(file));
  require_different(sections.files, parts);
  require_one_series(sections.files, parts, folder);
  find_gaps(sections, parts, folder, missing);
  return sections;
}

}  // namespace tessera
