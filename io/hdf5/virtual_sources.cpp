#include "io/hdf5/virtual_sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "io/base/error.h"
#include "io/hdf5/hdf5_handle.h"

namespace tessera {
namespace {

/// More sources than this are no real file.
constexpr hsize_t kMostSources = 1'000'000;

std::string text_of(const std::function<ssize_t(char*, std::size_t)>& get, const std::string& what) {
  const auto size = static_cast<std::size_t>(check_hdf5(get(nullptr, 0), what));
  std::string text(size + 1, '\0');
  check_hdf5(get(text.data(), text.size()), what);
  text.resize(size);
  return text;
}

/// A name with its `%b` replaced by the number of a block, and `%%` by `%`.
std::string with_number(const std::string& pattern, hsize_t number) {
  std::string text;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '%' && i + 1 < pattern.size() && (pattern[i + 1] == 'b' || pattern[i + 1] == '%')) {
      text += pattern[++i] == 'b' ? std::to_string(number) : "%";
    } else {
      text += pattern[i];
    }
  }
  return text;
}

bool has_number(const std::string& pattern) {
  for (std::size_t i = 0; i + 1 < pattern.size(); ++i) {
    if (pattern[i] != '%') continue;
    if (pattern[i + 1] == 'b') return true;
    ++i;
  }
  return false;
}

/// Whether a regular selection has no end.
bool is_unlimited(hid_t selection, const std::string& what) {
  const auto rank = static_cast<std::size_t>(check_hdf5(H5Sget_simple_extent_ndims(selection), what));
  std::vector<hsize_t> start(rank), stride(rank), count(rank), block(rank);
  check_hdf5(H5Sget_regular_hyperslab(selection, start.data(), stride.data(), count.data(), block.data()),
             what);
  const auto endless = [](hsize_t value) { return value == H5S_UNLIMITED; };
  return std::any_of(count.begin(), count.end(), endless) || std::any_of(block.begin(), block.end(), endless);
}

/// The blocks of a virtual dataset's selection, which is unlimited where sources have numbers.
struct Blocks {
  hsize_t count = 1;   ///< that begin inside the dataset's shape
  hsize_t values = 0;  ///< of each
};

Blocks blocks_of(hid_t selection, bool numbered, const std::vector<hsize_t>& shape, const std::string& what) {
  if (!numbered) {
    const bool regular =
        H5Sget_select_type(selection) == H5S_SEL_HYPERSLABS && H5Sis_regular_hyperslab(selection) > 0;
    if (regular && is_unlimited(selection, what)) return {};
    return {1, static_cast<hsize_t>(check_hdf5(H5Sget_select_npoints(selection), what))};
  }
  std::vector<hsize_t> start(shape.size()), stride(shape.size()), count(shape.size()), block(shape.size());
  check_hdf5(H5Sget_regular_hyperslab(selection, start.data(), stride.data(), count.data(), block.data()),
             what);
  Blocks blocks{1, 1};
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    blocks.values *= count[axis] == H5S_UNLIMITED ? block[axis] : block[axis] * count[axis];
    if (count[axis] != H5S_UNLIMITED) continue;
    const hsize_t step = std::max<hsize_t>(stride[axis], 1);
    blocks.count = start[axis] >= shape[axis] ? 0 : (shape[axis] - start[axis] + step - 1) / step;
  }
  return blocks;
}

/// The smallest shape that holds a selection; empty for an unlimited one, and for a whole source.
std::vector<hsize_t> reach_of(hid_t selection, const std::string& what) {
  if (H5Sget_select_type(selection) == H5S_SEL_ALL) return {};
  const auto rank = static_cast<std::size_t>(check_hdf5(H5Sget_simple_extent_ndims(selection), what));
  std::vector<hsize_t> begin(rank), end(rank);
  if (H5Sget_select_type(selection) == H5S_SEL_HYPERSLABS && H5Sis_regular_hyperslab(selection) > 0 &&
      is_unlimited(selection, what))
    return {};
  check_hdf5(H5Sget_select_bounds(selection, begin.data(), end.data()), what);
  for (hsize_t& last : end)
    ++last;
  return end;
}

}  // namespace

std::vector<VirtualSource> virtual_sources(hid_t dataset, hid_t creation_list, const DatasetName& name) {
  const std::string what = "cannot read the sources of " + name.text();
  const std::vector<hsize_t> shape = extent_of(dataset, what);
  std::size_t count = 0;
  check_hdf5(H5Pget_virtual_count(creation_list, &count), what);
  std::vector<VirtualSource> sources;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string file = text_of(
        [&](char* text, std::size_t size) { return H5Pget_virtual_filename(creation_list, i, text, size); },
        what);
    std::string path = text_of(
        [&](char* text, std::size_t size) { return H5Pget_virtual_dsetname(creation_list, i, text, size); },
        what);
    if (path.empty() || path.front() != '/') path.insert(0, 1, '/');
    const Hdf5Handle selection(check_hdf5(H5Pget_virtual_srcspace(creation_list, i), what), H5Sclose);
    const Hdf5Handle target(check_hdf5(H5Pget_virtual_vspace(creation_list, i), what), H5Sclose);
    const Blocks blocks = blocks_of(target.get(), has_number(file) || has_number(path), shape, what);
    const hsize_t values = H5Sget_select_type(selection.get()) == H5S_SEL_ALL ? blocks.values : 0;
    if (blocks.count > kMostSources || sources.size() > kMostSources)
      throw Error(fmt::format("{}: more than {} of them (is the file damaged?)", what, kMostSources));
    for (hsize_t block = 0; block < blocks.count; ++block)
      sources.push_back(
          {with_number(file, block), with_number(path, block), reach_of(selection.get(), what), values});
  }
  std::sort(sources.begin(), sources.end());
  sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
  return sources;
}

void require_extent(const VirtualSource& source, hid_t dataset, const std::string& start) {
  const std::vector<hsize_t> shape = extent_of(dataset, start);
  const hsize_t values = std::accumulate(shape.begin(), shape.end(), hsize_t{1}, std::multiplies<>());
  if (source.values > 0 && values != source.values) {
    throw Error(fmt::format("{}, which has the shape ({}), but {} values are taken from it", start,
                            fmt::join(shape, ", "), source.values));
  }
  if (source.shape.empty()) return;
  bool holds = shape.size() == source.shape.size();
  for (std::size_t axis = 0; holds && axis < shape.size(); ++axis)
    holds = shape[axis] >= source.shape[axis];
  if (holds) return;
  throw Error(fmt::format("{}, which has the shape ({}), but ({}) is taken from it: voxels are missing",
                          start, fmt::join(shape, ", "), fmt::join(source.shape, ", ")));
}

}  // namespace tessera
