#include "pipeline/commands/evaluate_options.h"

#include <fmt/format.h>

#include <optional>

#include "io/base/error.h"
#include "io/geometry/section_range.h"
#include "pipeline/run/command_line.h"

namespace tessera {

PixelBounds parse_region(const std::string& text) {
  const std::size_t comma = text.find(',');
  try {
    if (comma == std::string::npos) throw UsageError("it has no comma");
    const SectionRange y = parse_section_range(text.substr(0, comma)),
                       x = parse_section_range(text.substr(comma + 1));
    return {y.begin, x.begin, y.end, x.end};
  } catch (const UsageError&) {
    throw UsageError(
        fmt::format("'{}' is no region: write y and x as BEGIN:END,BEGIN:END, such as 10:50,0:64", text));
  }
}

LabelId id_option(const OptionValues& values, const char* option) {
  const std::string text = values[option].as<std::string>();
  const std::optional<LabelId> id = parse_label_id(text);
  if (!id)
    throw UsageError(fmt::format("--{}: '{}' is no id of a label: write a whole number", option, text));
  return *id;
}

}  // namespace tessera
