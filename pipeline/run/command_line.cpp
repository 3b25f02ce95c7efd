#include "pipeline/run/command_line.h"

#include <fmt/format.h>

#include <cmath>
#include <sstream>

#include "io/base/error.h"
#include "io/base/nearest_word.h"
#include "io/base/split_text.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

/// The reason for too many positional arguments: `--set KEY VALUE`, or the arguments themselves.
std::string too_many_text(const std::vector<std::string>& arguments, std::size_t allowed) {
  for (std::size_t i = 0; i + 1 < arguments.size(); ++i) {
    const std::string& setting = arguments[i + 1];
    if (arguments[i] != "--set" || setting.find('=') != std::string::npos) continue;
    const bool has_value = i + 2 < arguments.size() && !arguments[i + 2].starts_with("-");
    return fmt::format("--set {0}: write KEY=VALUE, as --set {0}={1}", setting,
                       has_value ? arguments[i + 2] : "VALUE");
  }
  return fmt::format(
      "more arguments than expected, which is {}: is one of them misplaced, or a space in a name "
      "without quotes?",
      allowed);
}

}  // namespace

std::optional<po::variables_map> parse_arguments(const std::vector<std::string>& arguments,
                                                 const std::string& usage, po::options_description options,
                                                 const std::vector<std::string>& positional) {
  po::positional_options_description places;
  options.add_options()("help,h", "show this help");
  for (std::size_t i = 0; i < positional.size(); ++i) {
    const auto* option = options.find_nothrow(positional[i], false);
    const bool takes_rest = option != nullptr && option->semantic()->max_tokens() > 1;
    places.add(positional[i].c_str(), takes_rest ? -1 : 1);
  }
  try {
    po::variables_map values;
    po::store(po::command_line_parser(arguments)
                  .options(options)
                  .positional(places)
                  .style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing)
                  .run(),
              values);
    if (values.count("help") != 0) return std::nullopt;
    po::notify(values);
    return values;
  } catch (const po::unknown_option& error) {
    std::vector<std::string> names;
    for (const auto& option : options.options())
      names.push_back("--" + option->long_name());
    const auto near = nearest_word(error.get_option_name(), names);
    throw UsageError(fmt::format("unknown option {}{}\nusage: {}", error.get_option_name(),
                                 near ? fmt::format(": did you mean {}?", *near) : "", usage));
  } catch (const po::too_many_positional_options_error&) {
    throw UsageError(fmt::format("{}\nusage: {}", too_many_text(arguments, positional.size()), usage));
  } catch (const po::error& error) {
    throw UsageError(fmt::format("{}\nusage: {}", error.what(), usage));
  }
}

SectionRange parse_section_range(const std::string& text) {
  SectionRange range;
  char colon = 0;
  std::istringstream in(text);
  if (!(in >> range.begin >> colon >> range.end) || colon != ':' || !in.eof() || range.begin < 0 ||
      range.end <= range.begin) {
    throw UsageError(
        fmt::format("'{}' is no range of sections: write FIRST:END with FIRST < END, such as 16:20 for "
                    "sections 16 to 19",
                    text));
  }
  return range;
}

std::vector<double> parse_numbers(const std::string& text, std::size_t count, const std::string& option) {
  std::vector<double> numbers;
  for (const std::string& part : split_text(text, ',')) {
    std::size_t used = 0;
    double value = 0;
    try {
      value = std::stod(part, &used);
    } catch (const std::logic_error&) {
      used = 0;
    }
    if (used == 0 || used != part.size() || !std::isfinite(value) || value <= 0) {
      throw UsageError(fmt::format("{} {}: '{}' is not a positive number", option, text, part));
    }
    numbers.push_back(value);
  }
  if (numbers.size() != count) {
    throw UsageError(fmt::format("{} {}: {} numbers are needed, separated by commas", option, text, count));
  }
  return numbers;
}

}  // namespace tessera
