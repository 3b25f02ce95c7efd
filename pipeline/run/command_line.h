#pragma once

#include <boost/program_options.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/section_range.h"

namespace tessera {

/// Parses a verb's arguments. `positional` names the positional ones in order; the last name takes all
/// remaining arguments when it is declared as a vector. Returns none after --help or -h.
/// Errors: UsageError with the usage line and, for a misspelt option, the nearest one.
std::optional<boost::program_options::variables_map> parse_arguments(
    const std::vector<std::string>& arguments, const std::string& usage,
    boost::program_options::options_description options, const std::vector<std::string>& positional);

/// "16:20" as the sections [16, 20). Errors: UsageError.
SectionRange parse_section_range(const std::string& text);

/// "50,4,4" as numbers. Errors: UsageError naming `option` unless there are `count` of them, all positive.
std::vector<double> parse_numbers(const std::string& text, std::size_t count, const std::string& option);

}  // namespace tessera
