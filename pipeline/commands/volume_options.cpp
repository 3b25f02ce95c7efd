#include "pipeline/commands/volume_options.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <sstream>

#include "io/base/error.h"

namespace tessera {
namespace {

/// The three comma-separated numbers of `text`; fewer when it holds anything else.
template <class T>
std::vector<T> three_numbers(const std::string& text) {
  std::vector<T> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    T value{};
    const auto [next, code] = std::from_chars(at, end, value);
    if (code != std::errc{}) return {};
    numbers.push_back(value);
    if (next == end) break;
    if (*next != ',') return {};
    at = next + 1;
  }
  return numbers.size() == 3 ? numbers : std::vector<T>{};
}

}  // namespace

Index3 parse_shape(const std::string& text, const std::string& option) {
  constexpr std::int64_t kLargestSide = std::int64_t{1} << 31;
  const auto numbers = three_numbers<std::int64_t>(text);
  for (const std::int64_t number : numbers) {
    if (number < 1 || number > kLargestSide) {
      throw UsageError(fmt::format("{} {}: {} is not a size of 1 to {}", option, text, number, kLargestSide));
    }
  }
  if (numbers.empty()) {
    throw UsageError(fmt::format("{} {}: write three whole numbers Z,Y,X, such as 20,512,512", option, text));
  }
  return {numbers[0], numbers[1], numbers[2]};
}

std::vector<double> parse_offset_nm(const std::string& text, const std::string& option) {
  const auto numbers = three_numbers<double>(text);
  bool finite = !numbers.empty();
  for (const double number : numbers)
    finite = finite && std::isfinite(number);
  if (!finite) {
    throw UsageError(
        fmt::format("{} {}: write three numbers Z,Y,X in nanometres, such as 0,-40,12.5", option, text));
  }
  return numbers;
}

}  // namespace tessera
