#include "io/hdf5/hdf5_types.h"

#include <fmt/format.h>

namespace tessera {
namespace {

/// IEEE 754 binary16, created once per process.
hid_t hdf5_half_type() {
  static const hid_t type = [] {
    const hid_t half = H5Tcopy(H5T_NATIVE_FLOAT);
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_size(half, 2);
    H5Tset_ebias(half, 15);
    return half;
  }();
  return type;
}

}  // namespace

hid_t hdf5_memory_type(VoxelType type) {
  switch (type) {
    case VoxelType::uint8:
      return H5T_NATIVE_UINT8;
    case VoxelType::uint16:
      return H5T_NATIVE_UINT16;
    case VoxelType::uint32:
      return H5T_NATIVE_UINT32;
    case VoxelType::uint64:
      return H5T_NATIVE_UINT64;
    case VoxelType::float16:
      return hdf5_half_type();
    case VoxelType::float32:
      break;
  }
  return H5T_NATIVE_FLOAT;
}

std::string hdf5_type_text(hid_t type) {
  const std::size_t bits = H5Tget_size(type) * 8;
  const bool big = H5Tget_order(type) == H5T_ORDER_BE && bits > 8;
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return fmt::format("{}int{}{}", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", bits,
                         big ? ", big-endian" : "");
    case H5T_FLOAT:
      return fmt::format("float{}{}", bits, big ? ", big-endian" : "");
    case H5T_STRING:
      return "string";
    case H5T_COMPOUND:
      return "compound";
    case H5T_ENUM:
      return "enumeration";
    case H5T_REFERENCE:
      return "reference";
    case H5T_VLEN:
      return "variable-length";
    case H5T_ARRAY:
      return "array";
    case H5T_OPAQUE:
      return "opaque";
    default:
      return "of an unknown type";
  }
}

}  // namespace tessera
