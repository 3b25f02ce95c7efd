#include "io/hdf5/voxel_conversion.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "io/base/error.h"
#include "io/base/float_narrowing.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/hdf5_types.h"

namespace tessera {
namespace {

/// The unsigned type with at least so many bits; none above 64.
std::optional<VoxelType> unsigned_type(std::size_t bits) {
  if (bits <= 8) return VoxelType::uint8;
  if (bits <= 16) return VoxelType::uint16;
  if (bits <= 32) return VoxelType::uint32;
  if (bits <= 64) return VoxelType::uint64;
  return std::nullopt;
}

/// Whether an enumeration over a signed type has a negative member. h5py's bool, an enumeration of int8, has
/// none.
bool has_negative_member(hid_t enumeration, const std::string& what) {
  const auto bytes = check_hdf5_size(H5Tget_size(enumeration), what);
  const int members = static_cast<int>(check_hdf5(H5Tget_nmembers(enumeration), what));
  const Hdf5Handle base(check_hdf5(H5Tget_super(enumeration), what), H5Tclose);
  for (int i = 0; i < members; ++i) {
    std::vector<std::byte> value(std::max(bytes, sizeof(std::int64_t)));
    check_hdf5(H5Tget_member_value(enumeration, static_cast<unsigned>(i), value.data()), what);
    check_hdf5(H5Tconvert(base.get(), H5T_NATIVE_INT64, 1, value.data(), nullptr, H5P_DEFAULT), what);
    std::int64_t number = 0;
    std::memcpy(&number, value.data(), sizeof number);
    if (number < 0) return true;
  }
  return false;
}

[[noreturn]] void throw_no_volume(H5T_class_t kind, const DatasetName& name) {
  const char* held = "neither integers of 8 to 64 bits nor floating point";
  if (kind == H5T_COMPOUND) held = "compound values (complex numbers, or tables)";
  if (kind == H5T_STRING) held = "text";
  if (kind == H5T_ARRAY) held = "an array in each element (such as the colours of a pixel)";
  throw Error(
      fmt::format("{} holds {}: no volume. Save it as integers or floating point.", name.text(), held));
}

/// What the library met while it converted values.
struct OutOfRange {
  bool below = false, above = false;
};

/// Makes a value outside of the type in memory an error. Without it, HDF5 takes the nearest value.
H5T_conv_ret_t note_out_of_range(H5T_conv_except_t kind, hid_t, hid_t, void*, void*, void* noted) {
  auto& found = *static_cast<OutOfRange*>(noted);
  if (kind == H5T_CONV_EXCEPT_RANGE_LOW) found.below = true;
  if (kind == H5T_CONV_EXCEPT_RANGE_HI) found.above = true;
  return found.below || found.above ? H5T_CONV_ABORT : H5T_CONV_UNHANDLED;
}

std::string why_not_read(const OutOfRange& found, VoxelType type) {
  const std::string reason = take_hdf5_error();
  if (type == VoxelType::float32 && (found.below || found.above))
    return "it holds values that are too large for float32";
  if (found.below)
    return "it holds negative values; raw volumes are unsigned. Add an offset, and save it as an unsigned "
           "type.";
  if (found.above) return fmt::format("it holds values that are too large for {}", name_of(type));
  return reason + " (is the file damaged or truncated, or a filter missing?)";
}

hid_t memory_type_of(const VoxelConversion& conversion) {
  switch (conversion.kind) {
    case VoxelConversion::Kind::sign_extended:
      return H5T_NATIVE_INT64;
    case VoxelConversion::Kind::whole_numbers:
    case VoxelConversion::Kind::wide_numbers:
      return H5T_NATIVE_DOUBLE;
    case VoxelConversion::Kind::bits:
      switch (size_of(conversion.type)) {
        case 1:
          return H5T_NATIVE_B8;
        case 2:
          return H5T_NATIVE_B16;
        case 4:
          return H5T_NATIVE_B32;
        default:
          return H5T_NATIVE_B64;
      }
    case VoxelConversion::Kind::numbers:
      break;
  }
  return hdf5_memory_type(conversion.type);
}

/// `buffer` takes float64 values.
void take_wide_numbers(const std::vector<double>& values, VoxelBuffer& buffer, const std::string& what) {
  const auto voxels = buffer.as<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::optional<float> narrow = float32_of(values[i]);
    if (!narrow) {
      throw Error(fmt::format(
          "{}: float32 cannot hold its 64-bit value {:.17g}: save it as float32, or labels as integers", what,
          values[i]));
    }
    voxels[i] = *narrow;
  }
}

/// `buffer` holds float64 values. They become the integers of 64 bits that they stand for.
void make_whole_numbers(VoxelBuffer& buffer, const std::string& what) {
  for (std::uint64_t& voxel : buffer.as<std::uint64_t>()) {
    const auto value = std::bit_cast<double>(voxel);
    if (!(std::trunc(value) == value && value < 0x1p64 && value >= -0x1p63)) {
      throw Error(fmt::format(
          "{}: it holds {}, and labels are whole numbers. Are prediction and labels swapped? Of "
          "a probability, make labels: tessera import FILE.h5:/probability NEW.h5:/labels --threshold 0.5",
          what, value));
    }
    voxel = value < 0 ? static_cast<std::uint64_t>(static_cast<std::int64_t>(value))
                      : static_cast<std::uint64_t>(value);
  }
}

}  // namespace

VoxelConversion conversion_of(hid_t dataset, const DatasetName& name, ReadAs read_as) {
  using Kind = VoxelConversion::Kind;
  const std::string what = "cannot read the type of " + name.text();
  Hdf5Handle type(check_hdf5(H5Dget_type(dataset), what), H5Tclose);
  H5T_class_t kind = H5Tget_class(type.get());
  if (kind == H5T_NO_CLASS) check_hdf5(-1, what);
  bool known_as_unsigned = false;
  if (kind == H5T_ENUM) {
    known_as_unsigned = !has_negative_member(type.get(), what);
    type = Hdf5Handle(check_hdf5(H5Tget_super(type.get()), what), H5Tclose);
    kind = H5Tget_class(type.get());
  }
  const bool as_ids = read_as == ReadAs::ids;
  if (kind == H5T_FLOAT) {
    if (as_ids) return {VoxelType::uint64, Kind::whole_numbers};
    const bool is_wide = check_hdf5_size(H5Tget_precision(type.get()), what) > 32;
    return {VoxelType::float32, is_wide ? Kind::wide_numbers : Kind::numbers};
  }
  if (kind != H5T_INTEGER && kind != H5T_BITFIELD) throw_no_volume(kind, name);
  const auto wide = unsigned_type(check_hdf5_size(H5Tget_precision(type.get()), what));
  if (!wide) throw_no_volume(kind, name);
  if (kind == H5T_BITFIELD) return {*wide, Kind::bits};
  const H5T_sign_t sign = H5Tget_sign(type.get());
  if (sign == H5T_SGN_ERROR) check_hdf5(-1, what);
  if (as_ids && sign != H5T_SGN_NONE && !known_as_unsigned) return {VoxelType::uint64, Kind::sign_extended};
  return {*wide, Kind::numbers};
}

void read_voxels(hid_t dataset, const VoxelConversion& conversion, hid_t memory_space, hid_t file_space,
                 VoxelBuffer& buffer, const std::string& what) {
  Hdf5Handle transfer_list(check_hdf5(H5Pcreate(H5P_DATASET_XFER), what), H5Pclose);
  OutOfRange found;
  check_hdf5(H5Pset_type_conv_cb(transfer_list.get(), note_out_of_range, &found), what);
  std::vector<double> wide;
  if (conversion.kind == VoxelConversion::Kind::wide_numbers) wide.resize(buffer.as<float>().size());
  void* values = wide.empty() ? static_cast<void*>(buffer.bytes.data()) : wide.data();
  if (H5Dread(dataset, memory_type_of(conversion), memory_space, file_space, transfer_list.get(), values) < 0)
    throw Error(fmt::format("{}: {}", what, why_not_read(found, conversion.type)));
  if (conversion.kind == VoxelConversion::Kind::whole_numbers) make_whole_numbers(buffer, what);
  if (conversion.kind == VoxelConversion::Kind::wide_numbers) take_wide_numbers(wide, buffer, what);
}

}  // namespace tessera
