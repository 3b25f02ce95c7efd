#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "io/base/error.h"
#include "io/images/stack_dimensions.h"

namespace tessera {
namespace {

/// One start tag of an XML text, and the text up to the next tag.
struct Element {
  std::string name;  ///< without the prefix of its namespace
  std::map<std::string, std::string, std::less<>> attributes;
  std::string_view text;
};

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::string decoded(std::string_view text) {
  std::string result(text);
  for (const auto& [code, character] :
       {std::pair{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}, {"&amp;", "&"}}) {
    for (std::size_t at = result.find(code); at != std::string::npos; at = result.find(code, at + 1))
      result.replace(at, std::string_view(code).size(), character);
  }
  return result;
}

/// Reads start tags one after another. It checks no nesting and needs no memory beyond one tag.
class TagReader {
 public:
  explicit TagReader(std::string_view xml) : rest_(xml) {}

  std::optional<Element> next() {
    while (true) {
      skip_to('<');
      if (rest_.empty()) return std::nullopt;
      if (rest_.starts_with("<!--"))
        skip_past("-->");
      else if (rest_.starts_with("<?"))
        skip_past("?>");
      else if (rest_.starts_with("</") || rest_.starts_with("<!"))
        skip_past(">");
      else
        return read_tag();
    }
  }

 private:
  void skip_to(char c) { rest_.remove_prefix(std::min(rest_.find(c), rest_.size())); }
  void skip_past(std::string_view end) {
    rest_.remove_prefix(std::min(rest_.find(end), rest_.size()));
    rest_.remove_prefix(std::min(end.size(), rest_.size()));
  }
  void skip_space() {
    while (!rest_.empty() && (is_space(rest_.front()) || rest_.front() == '/'))
      rest_.remove_prefix(1);
  }
  std::string_view word() {
    std::size_t size = 0;
    while (size < rest_.size() && !is_space(rest_[size]) && rest_[size] != '=' && rest_[size] != '>' &&
           rest_[size] != '/')
      ++size;
    const std::string_view found = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return found;
  }

  Element read_tag() {
    rest_.remove_prefix(1);
    Element element;
    const std::string_view name = word();
    element.name = name.substr(name.rfind(':') + 1);  // npos + 1 is 0
    for (skip_space(); !rest_.empty() && rest_.front() != '>'; skip_space()) {
      const std::string key(word());
      skip_space();
      if (!rest_.starts_with("=")) {
        if (key.empty()) rest_.remove_prefix(1);
        continue;
      }
      rest_.remove_prefix(1);
      skip_space();
      if (rest_.empty()) break;
      const char quote = rest_.front();
      rest_.remove_prefix(1);
      const std::size_t size = std::min(rest_.find(quote), rest_.size());
      element.attributes.emplace(key, decoded(rest_.substr(0, size)));
      rest_.remove_prefix(std::min(size + 1, rest_.size()));
    }
    if (!rest_.empty()) rest_.remove_prefix(1);
    element.text = rest_.substr(0, std::min(rest_.find('<'), rest_.size()));
    return element;
  }

  std::string_view rest_;
};

/// A whole number of an attribute; none where it is missing. Errors: Error.
std::optional<std::int64_t> number_of(const Element& element, const char* key, const std::string& what) {
  const auto found = element.attributes.find(key);
  if (found == element.attributes.end()) return std::nullopt;
  std::int64_t value = 0;
  const std::string& text = found->second;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  constexpr std::int64_t kMost = 1 << 24;
  if (code != std::errc{} || end != text.data() + text.size() || value < 0 || value > kMost)
    throw Error(fmt::format("{}: its OME description says {}=\"{}\"", what, key, text));
  return value;
}

std::array<char, 3> order_of(const Element& pixels, const std::string& what) {
  const auto found = pixels.attributes.find("DimensionOrder");
  const std::string text = found == pixels.attributes.end() ? "XYZCT" : found->second;
  std::string letters = text.size() == 5 ? text.substr(2) : "";
  std::string sorted = letters;
  std::sort(sorted.begin(), sorted.end());
  if (!text.starts_with("XY") || sorted != "CTZ")
    throw Error(fmt::format("{}: its OME description says DimensionOrder=\"{}\"", what, text));
  std::array<char, 3> order{};
  std::transform(letters.begin(), letters.end(), order.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return order;
}

/// The pages of the planes that the TiffData elements list; -1 where none does.
class PageTable {
 public:
  PageTable(StackDimensions& dimensions, const std::string& what) : dimensions_(dimensions), what_(what) {}

  void add(const Element& data) {
    if (dimensions_.pages.empty())
      dimensions_.pages.assign(static_cast<std::size_t>(dimensions_.planes()), -1);
    const auto page = number_of(data, "IFD", what_);
    const auto channel = number_of(data, "FirstC", what_).value_or(0);
    const auto section = number_of(data, "FirstZ", what_).value_or(0);
    const auto time = number_of(data, "FirstT", what_).value_or(0);
    if (channel >= dimensions_.channels || section >= dimensions_.sections || time >= dimensions_.times)
      throw Error(what_ + ": its OME description places a page outside the image");
    const std::int64_t first = dimensions_.plane(channel, section, time);
    const std::int64_t most = dimensions_.planes() - first;
    const std::int64_t count = std::min(number_of(data, "PlaneCount", what_).value_or(page ? 1 : most), most);
    for (std::int64_t i = 0; i < count; ++i)
      dimensions_.pages[static_cast<std::size_t>(first + i)] = page.value_or(0) + i;
  }

 private:
  StackDimensions& dimensions_;
  const std::string& what_;
};

}  // namespace

StackDimensions ome_dimensions(std::string_view xml, std::int64_t samples_per_pixel,
                               const std::string& file_name, const std::string& what) {
  StackDimensions found;
  found.source = "OME";
  TagReader tags(xml);
  PageTable table(found, what);
  std::string own_id;
  int images = 0;
  bool has_pixels = false;
  while (const auto element = tags.next()) {
    const auto attribute = [&](const char* key) {
      const auto at = element->attributes.find(key);
      return at == element->attributes.end() ? std::string() : at->second;
    };
    if (element->name == "OME") {
      own_id = attribute("UUID");
    } else if (element->name == "BinaryOnly") {
      throw Error(fmt::format(
          "{}: its OME description is in another file ({}), which says what its pages are: save it "
          "as one OME-TIFF or as a plain TIFF stack",
          what, attribute("MetadataFile")));
    } else if (element->name == "Image" && ++images > 1) {
      throw Error(what + " holds several OME images: save the one to import in a file of its own");
    } else if (element->name == "Pixels" && !has_pixels) {
      has_pixels = true;
      found.order = order_of(*element, what);
      const std::int64_t channels = number_of(*element, "SizeC", what).value_or(1);
      found.sections = number_of(*element, "SizeZ", what).value_or(1);
      found.times = number_of(*element, "SizeT", what).value_or(1);
      found.channels = channels / samples_per_pixel;
      if (found.channels * samples_per_pixel != channels || found.channels < 1 || found.sections < 1 ||
          found.times < 1 || found.channels > (1 << 24) / found.sections / found.times) {
        throw Error(fmt::format(
            "{}: its OME description says {} channels, {} sections and {} time points, which cannot "
            "be with {} sample(s) a pixel",
            what, channels, found.sections, found.times, samples_per_pixel));
      }
    } else if (element->name == "TiffData" && has_pixels) {
      table.add(*element);
    } else if (element->name == "UUID") {
      const std::string other = attribute("FileName");
      const bool is_own = other.empty() || other == file_name || (!own_id.empty() && element->text == own_id);
      if (!is_own) {
        throw Error(fmt::format(
            "{}: its OME description places planes in another file ({}): save the image as one file", what,
            other));
      }
    }
  }
  if (!has_pixels)
    throw Error(what + ": its OME description lacks the element Pixels (is the file damaged?)");
  for (std::size_t i = 0; i < found.pages.size(); ++i) {
    if (found.pages[i] < 0)
      throw Error(fmt::format("{}: its OME description has no page for plane {}", what, i));
  }
  return found;
}

}  // namespace tessera
