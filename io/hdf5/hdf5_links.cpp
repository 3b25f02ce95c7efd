#include "io/hdf5/hdf5_links.h"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "io/base/error.h"
#include "io/base/split_text.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// More links than this on one path are a circle. The library's own limit is 16.
constexpr int kMostLinks = 16;

struct Link {
  H5L_type_t type = H5L_TYPE_HARD;
  std::string file;  ///< of an external link
  std::string path;  ///< the target; of soft and external links
};

/// Errors: Error when the link cannot be read.
Link read_link(hid_t file, const std::string& path) {
  const std::string what = "cannot read the link " + path;
  H5L_info_t info;
  check_hdf5(H5Lget_info(file, path.c_str(), &info, H5P_DEFAULT), what);
  Link link{info.type, {}, {}};
  if (link.type == H5L_TYPE_HARD) return link;
  std::vector<char> value(info.u.val_size + 1, '\0');
  check_hdf5(H5Lget_val(file, path.c_str(), value.data(), value.size(), H5P_DEFAULT), what);
  link.path = value.data();
  if (link.type != H5L_TYPE_EXTERNAL) return link;
  const char *target_file = nullptr, *target_path = nullptr;
  unsigned flags = 0;
  check_hdf5(H5Lunpack_elink_val(value.data(), info.u.val_size, &flags, &target_file, &target_path), what);
  link.file = target_file;
  link.path = target_path;
  return link;
}

std::string absolute_path(const std::string& path, const std::string& group) {
  if (!path.empty() && path.front() == '/') return path;
  return (group.empty() ? "" : group) + "/" + path;
}

Hdf5Lookup follow(hid_t file, const std::string& path, int links_left);

Hdf5Lookup behind_soft_link(hid_t file, const std::string& at, const Link& link, int links_left) {
  const std::string target = absolute_path(link.path, at.substr(0, at.rfind('/')));
  const Hdf5Lookup behind = follow(file, target, links_left);
  if (behind.found) return behind;
  return {false, fmt::format("{} is a link to {}, {}", at, link.path,
                             behind.why.empty() ? "which does not exist" : "and " + behind.why)};
}

Hdf5Lookup behind_external_link(hid_t file, const std::string& at, const Link& link, int links_left) {
  const std::string start = fmt::format("{} is a link to {}:{}", at, link.file, link.path);
  std::string why;
  const Hdf5Handle other = open_referenced_file(file, link.file, Hdf5Reference::external_link, why);
  if (!other) return {false, fmt::format("{}, and {}", start, why)};
  const Hdf5Lookup behind = follow(other.get(), absolute_path(link.path, ""), links_left);
  if (behind.found) return behind;
  return {false, fmt::format("{}, {}", start,
                             behind.why.empty() ? "which does not exist in that file" : "and " + behind.why)};
}

/// What the link at `at` leads to, where it is not hard; nothing for a hard link.
std::optional<Hdf5Lookup> behind_link(hid_t file, const std::string& at, int links_left) {
  const Link link = read_link(file, at);
  if (link.type == H5L_TYPE_HARD) return std::nullopt;
  if (links_left == 0) return Hdf5Lookup{false, at + " is one of too many links in a row (a circle?)"};
  if (link.type == H5L_TYPE_SOFT) return behind_soft_link(file, at, link, links_left - 1);
  if (link.type == H5L_TYPE_EXTERNAL) return behind_external_link(file, at, link, links_left - 1);
  return Hdf5Lookup{false, at + " is a link of a kind that only its own program can follow"};
}

Hdf5Lookup follow(hid_t file, const std::string& path, int links_left) {
  if (path == "/") return {true, {}};
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    const bool last = slash == std::string::npos;
    if (part.back() != '/') {  // as in /a//b, and behind /a/
      if (!hdf5_link_exists(file, part)) return {};
      if (const auto behind = behind_link(file, part, links_left); behind && !behind->found) return *behind;
      const Hdf5Handle object(
          check_hdf5(H5Oopen(file, part.c_str(), H5P_DEFAULT),
                     fmt::format("cannot open {} of {}", part, hdf5_file_of(file).string())),
          H5Oclose);
      if (!last && H5Iget_type(object.get()) != H5I_GROUP)
        return {false, fmt::format("{} is a dataset, and nothing can be beneath it", part)};
    }
    if (last) return {true, {}};
  }
}

}  // namespace

Hdf5Lookup look_up_object(hid_t file, const std::string& path) {
  return follow(file, path, kMostLinks);
}

bool hdf5_path_exists(hid_t file, const std::string& path) {
  return look_up_object(file, path).found;
}

bool hdf5_link_exists(hid_t file, const std::string& path) {
  if (path == "/") return true;
  return check_hdf5(H5Lexists(file, path.c_str(), H5P_DEFAULT),
                    fmt::format("cannot look for {} in {}", path, hdf5_file_of(file).string())) > 0;
}

bool hdf5_link_is_hard(hid_t file, const std::string& path) {
  return path == "/" || read_link(file, path).type == H5L_TYPE_HARD;
}

std::string hdf5_link_target(hid_t file, const std::string& path) {
  const Link link = read_link(file, path);
  return link.type == H5L_TYPE_EXTERNAL ? fmt::format("{}:{}", link.file, link.path) : link.path;
}

fs::path hdf5_file_of(hid_t object) {
  const std::string what = "cannot read the name of an open file";
  const auto size = static_cast<std::size_t>(check_hdf5(H5Fget_name(object, nullptr, 0), what));
  std::string name(size + 1, '\0');
  check_hdf5(H5Fget_name(object, name.data(), name.size()), what);
  name.resize(size);
  return name;
}

// As H5F_prefix_open_file() of HDF5 1.10: an absolute name; then the environment, the folder of the file, the
// working directory, and the folder of the file that a symbolic link leads to.
std::vector<fs::path> places_of(hid_t from, const std::string& named, Hdf5Reference kind) {
  std::vector<fs::path> places;
  fs::path name = named;
  if (name.is_absolute()) {
    places.push_back(name);
    name = name.filename();
  }
  const fs::path primary = hdf5_file_of(from);
  const char* variable = kind == Hdf5Reference::external_link ? "HDF5_EXT_PREFIX" : "HDF5_VDS_PREFIX";
  if (const char* prefixes = std::getenv(variable)) {
    for (std::string prefix : split_text(prefixes, ':')) {
      constexpr std::string_view kOrigin = "${ORIGIN}";
      if (prefix.starts_with(kOrigin))
        prefix = fs::absolute(primary).parent_path().string() + prefix.substr(kOrigin.size());
      if (!prefix.empty()) places.push_back(fs::path(prefix) / name);
    }
  }
  places.push_back(fs::absolute(primary).parent_path() / name);
  places.push_back(name);
  std::error_code unresolved;
  if (const fs::path actual = fs::canonical(primary, unresolved); !unresolved)
    places.push_back(actual.parent_path() / name);
  return places;
}

Hdf5Handle open_referenced_file(hid_t from, const std::string& named, Hdf5Reference kind, std::string& why) {
  why = fmt::format("the file {} does not exist (beside {}, or in the working directory)", named,
                    hdf5_file_of(from).string());
  bool first = true;
  for (const fs::path& place : places_of(from, named, kind)) {
    std::error_code code;
    if (!fs::exists(place, code) && !code) continue;
    try {
      return open_hdf5_file(place);
    } catch (const Error& error) {  // the library goes on to the next place, too
      if (std::exchange(first, false)) why = error.what();
    }
  }
  return {};
}

}  // namespace tessera
