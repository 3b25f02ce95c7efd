#include "io/base/other_format.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <string_view>

namespace tessera {
namespace {

constexpr const char* kConvertImage = ": convert it to TIFF or PNG, for example in Fiji (File > Save As)";
constexpr const char* kConvertArray =
    ": save it as TIFF (Python: tifffile.imwrite) or as an HDF5 dataset (h5py), axes (z, y, x)";

struct OtherFormat {
  std::string_view extension, name;
  bool is_image;
};
constexpr std::array kOthers{
    OtherFormat{".jpg", "a JPEG image", true},      OtherFormat{".jpeg", "a JPEG image", true},
    OtherFormat{".jp2", "a JPEG 2000 image", true}, OtherFormat{".gif", "a GIF image", true},
    OtherFormat{".bmp", "a BMP image", true},       OtherFormat{".webp", "a WebP image", true},
    OtherFormat{".npy", "a NumPy array", false},    OtherFormat{".npz", "an archive of NumPy arrays", false},
    OtherFormat{".mrc", "an MRC volume", false},    OtherFormat{".nii", "a NIfTI volume", false},
    OtherFormat{".nrrd", "an NRRD volume", false},  OtherFormat{".zarr", "a Zarr store", false},
    OtherFormat{".n5", "an N5 store", false},       OtherFormat{".mat", "a MATLAB file", false}};

}  // namespace

std::string other_format(const std::filesystem::path& file) {
  std::string extension = file.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto found = std::ranges::find(kOthers, extension, &OtherFormat::extension);
  if (found == kOthers.end()) return {};
  return std::string(found->name) + (found->is_image ? kConvertImage : kConvertArray);
}

std::string volume_format(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) return "a folder";
  if (!std::filesystem::is_regular_file(file, error)) return {};
  std::array<char, 8> bytes{};
  std::ifstream in(file, std::ios::binary);
  in.read(bytes.data(), bytes.size());
  const std::string_view head(bytes.data(), static_cast<std::size_t>(in.gcount()));
  using namespace std::string_view_literals;
  if (head == "\x89HDF\r\n\x1a\n"sv) return "an HDF5 file";
  if (head == "\x89PNG\r\n\x1a\n"sv) return "a PNG image";
  for (const std::string_view magic : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) {
    if (head.starts_with(magic)) return "a TIFF image";
  }
  return {};
}

std::string missing_file_note(const std::filesystem::path& file) {
  if (file.string().starts_with('~')) return " (~ is not expanded here: write the path of the home folder)";
  return " (is the path right, and seen from this node?)";
}

}  // namespace tessera
